"""A model and a key of one's own, trained without editing the package."""

from flax import linen as nn

from bn_repro import config_files, keys, loop, models


class Mine(nn.Module):
    """One hidden layer; a model returns its logits and its nonlinearities' inputs."""

    units: int

    @nn.compact
    def __call__(self, images, mode):
        """Returns logits [B, 10] and {"h": [B, units]}."""
        h = nn.Dense(self.units)(images.reshape(len(images), -1))
        return nn.Dense(10)(nn.sigmoid(h)), {"h": h}


models.MODELS["mine"] = lambda config, *_: Mine(config.model.mine_units)
keys.KEYS["model.mine_units"] = keys.whole(1)

config = config_files.load("mnist:plain")
config.update({"model": {"name": "mine", "mine_units": 16}, "steps": 1000})
print(loop.run(config, "runs/own_model"))
