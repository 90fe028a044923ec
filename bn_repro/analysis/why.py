"""The questions of configs/why_*.py: what is drawn, tabled and claimed of each.

QUESTIONS has an entry an experiment; `why_figure` draws and tables any of them. A value
is one number a run; NaN where the run lacks it. It has more than 250 lines because that
table is read as a whole, question beside question.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from bn_repro.analysis import arms, intervals, tables
from bn_repro.analysis.intervals import Finding
from bn_repro.analysis.why_values import (
    less,
    log10,
    median_over_time,
    of_layers,
    probed,
    recorded,
)
from bn_repro.run_folder import records
from bn_repro.run_folder.records import Run


class Claim(NamedTuple):
    """That a value of one arm is more than that of another, or than 0."""

    text: str
    paper: str  # where
    value: int  # its place among the values of the question
    more: str  # arm
    less: str = ""  # arm; "" for 0


class Question(NamedTuple):
    """An experiment: the columns of its table, the rows of its figure, its claim."""

    text: str  # the question
    # columns of the table: heading, with the unit, -> function of a run; drawn where no
    # fields are
    values: dict[str, Callable[[Run], float]]
    claim: Claim  # of the ledger
    # of a probe, or "effective_rate", drawn over steps, layers side by side
    fields: tuple[str, ...] = ()
    logarithmic: tuple[str, ...] = ()  # those of them on such an axis
    arms: str = ""  # what the names of the runs mean, for the caption
    # arms side by side, a figure each, whose histograms tell besides the report's
    histograms: tuple[tuple[str, str], ...] = ()


ACCURACY = {"test accuracy, %": recorded("test", "ema")}
LOSS = {"training loss": recorded("train", "batch", "loss", 1)}
GRADIENTS = {
    "log10 of first gradient, step 0": log10(probed("gradient_norm", 0, 0)),
    "log10 of last gradient, step 0": log10(probed("gradient_norm", -1, 0)),
}
POPULATION = recorded("test", "population")
NEAREST = less(probed("output_distance"), probed("input_distance"))
TRAIN, TEST = recorded("train", "ema"), recorded("test", "ema")

QUESTIONS = {
    "why_naive_gradient": Question(
        "What if descent does not know of the normalisation?",
        {
            "b, root mean square, first layer": probed("shift_rms", 0),
            "b, last layer": probed("shift_rms"),
            "norm of W, last layer": probed("weight_norm"),
            **LOSS,
            **ACCURACY,
        },
        Claim(
            "A bias that descent does not know to be normalised away grows",
            "Sec. 2: yes",
            1,
            "standardize_stop",
            "standardize_full",
        ),
        ("shift_rms", "weight_norm"),
        arms="stop: descent takes mean and variance for constants; full: it does not, "
        "as in the paper. center: the layer is x + b - E[x + b], standardize: that "
        "over its standard deviation; nothing is learned after it.",
    ),
    "why_weight_scale": Question(
        "Why do learning rates up to 30 train?",
        {
            "log10 of norm of W, first layer": log10(probed("weight_norm", 0)),
            "log10 of norm of W, last layer": log10(probed("weight_norm")),
            "log10 of rate / norm², first": log10(probed("effective_rate", 0)),
            "log10 of rate / norm², last": log10(probed("effective_rate")),
            **ACCURACY,
        },
        Claim(
            "With BN weights are larger after training at rate 30 than at 0.01",
            "Sec. 3.3: larger weights, smaller gradients",
            1,
            "bn_lr30",
            "bn_lr0.01",
        ),
        ("weight_norm", "gradient_norm", "effective_rate"),
        ("weight_norm", "gradient_norm", "effective_rate"),
        arms="lr: the learning rate. Rate / norm², the last row, is by how much a step "
        "turns weights whose scale BN takes out.",
    ),
    "why_saturation": Question(
        "Why before the nonlinearity, and what saturates?",
        {
            "saturated at first, layer 1, share": probed("saturated", 0, 0),
            "at the end, layer 1": probed("saturated", 0),
            "input: distance from Gaussian": probed("input_distance"),
            "output: distance from Gaussian": probed("output_distance"),
            "output less input": NEAREST,
            "input: excess kurtosis": probed("input_kurtosis"),
            "output: excess kurtosis": probed("output_kurtosis"),
            **ACCURACY,
        },
        Claim(
            "W u + b is nearer a Gaussian than g(W u + b), without BN",
            "Sec. 3.2: yes",
            4,
            "sigmoid_none",
        ),
        ("saturated", "input_distance", "output_distance"),
        arms="none: without BN; before, after: BN before or after the nonlinearity. "
        "Saturated: a slope below 0.05 of the largest. Distance: Kolmogorov's, from "
        "the Gaussian of the same mean and variance, median over units.",
        histograms=(("tanh_none", "tanh_before"), ("sigmoid_before", "sigmoid_after")),
    ),
    "why_batch_size": Question(
        "How many examples need be normalised together, and with which statistics?",
        {
            "test accuracy, %, moving averages": recorded("test", "ema"),
            "test accuracy, %, Algorithm 2": POPULATION,
            "test accuracy, %, mini-batch": recorded("test", "batch"),
            "Algorithm 2 less mini-batch, points": less(
                POPULATION, recorded("test", "batch")
            ),
            "noise of an input, share of its spread": probed("batch_noise"),
            "noise of a logit, share of its spread": probed("logit_noise"),
        },
        Claim(
            "In groups of 60 Algorithm 2 is more accurate than in groups of 2",
            "-",
            1,
            "group60",
            "group2",
        ),
        arms="group4: 15 groups of 4 in a batch of 60, each normalised by itself; "
        "batch4: batches of 4, at as many examples and a rate in proportion. Noise: "
        "standard deviation of one example's value over random mini-batches, as a "
        "share of that over examples.",
    ),
    "why_dropout": Question(
        "Does BN take the place of dropout?",
        {
            "training accuracy, %": TRAIN,
            "test accuracy, %": TEST,
            "gap, points": less(TRAIN, TEST),
        },
        Claim(
            "With BN no dropout is more accurate than half of it, 60,000 examples",
            "Sec. 3.4: dropout can be removed",
            1,
            "bn_dropout0_of60000",
            "bn_dropout0.5_of60000",
        ),
        arms="dropout0.1_of2000: a tenth dropped, the first 2,000 training examples; "
        "with these the test set is its first 2,000 pictures, too.",
    ),
    "why_jacobians": Question(
        "Are the singular values of the layers near 1?",
        {
            "share in [1/2, 2] at first": probed("jacobian_near_one", at=0),
            "share in [1/2, 2] at the end": probed("jacobian_near_one"),
            "median at the end": probed("jacobian_median"),
            "least": probed("jacobian_least"),
            "largest": probed("jacobian_largest"),
            "through all, largest": probed("through_largest"),
            **ACCURACY,
        },
        Claim(
            "More singular values are within [1/2, 2] with BN, initial deviation 0.1",
            "Sec. 3.3: a conjecture",
            1,
            "bn_std0.1",
            "plain_std0.1",
        ),
        ("jacobian_near_one", "jacobian_median", "jacobian_largest", "through_largest"),
        ("jacobian_median", "jacobian_largest", "through_largest"),
        arms="std: standard deviation of the initial weights. A layer's Jacobian is "
        "that of its nonlinearity's input in the layer before's, with BN of normalised "
        "in normalised vectors; a mini-batch's statistics are held constant.",
    ),
    "why_gradient_change": Question(
        "Does a layer's gradient change less when the layers before it step?",
        {
            "relative change, median over time": median_over_time("gradient_change"),
            "cosine, median over time": median_over_time("gradient_cosine"),
            "relative change at the end": probed("gradient_change"),
            **ACCURACY,
        },
        Claim(
            "The last hidden layer's gradient changes less with BN, rate 0.1",
            "Sec. 1: less internal covariate shift",
            0,
            "plain_lr0.1",
            "bn_lr0.1",
        ),
        ("gradient_change", "gradient_cosine"),
        ("gradient_change",),
        arms="lr: the learning rate. Gradients of a layer's weights on one mini-batch, "
        "before and after the layers before it take their step; the first has none.",
    ),
    "why_noise": Question(
        "Does BN still help where noise after it upsets the distributions?",
        {
            **ACCURACY,
            **LOSS,
            "gradient's relative change": median_over_time("gradient_change"),
        },
        Claim(
            "With noise after BN the network is still more accurate than without BN",
            "- (Santurkar et al. 2018: yes)",
            0,
            "bn_noise0.5",
            "plain",
        ),
        arms="noise0.5: each unit's normalised input is scaled by e^s and shifted by "
        "m, both uniform within ±0.5 and new at each step.",
    ),
    "why_explosion": Question(
        "What of gradients that explode?",
        {
            "log10 of first / last gradient, step 0": less(*GRADIENTS.values()),
            **GRADIENTS,
            **ACCURACY,
        },
        Claim(
            "At twice He's scale the first gradient is larger without BN",
            "Sec. 3.3: yes",
            1,
            "plain_scale2",
            "bn_scale2",
        ),
        ("gradient_norm",),
        ("gradient_norm",),
        arms="scale: factor on He's standard deviation of 100 inputs, sqrt(2 / 100).",
    ),
    "why_inception_init": Question(
        "Does Inception depend less on its initial scale with BN?",
        {"validation accuracy, %": recorded("val", "ema"), **LOSS, **GRADIENTS},
        Claim(
            "From a quarter of He's scale Inception trains better with BN",
            "Sec. 3.3: less dependent on the initial values",
            0,
            "bn_scale0.25",
            "plain_scale0.25",
        ),
        arms="scale: factor on He's initial weights.",
    ),
    "why_inception_jacobians": Question(
        "Are the singular values of Inception's convolutions near 1?",
        {
            "share in [1/2, 2] at first, mean of 8 layers": of_layers(
                "jacobian_near_one", 0
            ),
            "share in [1/2, 2] at the end, mean of 8 layers": of_layers(
                "jacobian_near_one"
            ),
            "at the end, first layer": probed("jacobian_near_one", 0),
            "at the end, last layer": probed("jacobian_near_one"),
            "largest, mean of 8 layers": of_layers("jacobian_largest"),
            "through all, largest": probed("through_largest"),
            "validation accuracy, %": recorded("val", "ema"),
        },
        Claim(
            "More singular values of Inception's convolutions are in [1/2, 2] with BN",
            "Sec. 3.3: a conjecture",
            1,
            "bn",
            "plain",
        ),
        ("jacobian_near_one", "jacobian_largest"),
        arms="Three of the eight layers measured, by Lanczos' method: a layer's "
        "Jacobian is that of its output, after ReLU, in its input; a mini-batch's "
        "statistics are held constant. ReLU makes about half of the outputs 0, and so "
        "about half of the singular values.",
    ),
    "why_gamma_beta": Question(
        "What does training do to gamma and beta?",
        {
            "gamma, root mean square, layer 1": probed("scale_rms", 0),
            "gamma, last layer": probed("scale_rms"),
            "beta, layer 1": probed("shift_rms", 0),
            "beta, last layer": probed("shift_rms"),
            **ACCURACY,
        },
        Claim(
            "Training moves beta of the last hidden layer from 0",
            "Sec. 3: they are learned",
            3,
            "sigmoid",
        ),
        ("scale_rms", "shift_rms"),
    ),
}


def find(folder: str, runs: Sequence[Run]) -> Finding:
    """Returns what the runs of an experiment say to its claim."""
    question = QUESTIONS[folder]
    claim = question.claim
    name, of = list(question.values.items())[claim.value]
    sides = [_by_seed(runs, arm, of) for arm in (claim.more, claim.less) if arm]
    if not all(sides):
        return intervals.missing(f"{claim.more} and {claim.less}")
    seeds = [np.array(list(side.values())) for side in sides]
    digits = min(digits_of(values.mean()) for values in seeds)
    texts = [tables.mean_text(values, digits=digits) for values in seeds]
    named = zip((claim.more, claim.less), texts, strict=False)
    ours = f"{name}: " + "; ".join(f"{arm} {text}" for arm, text in named)
    if claim.less:
        found = intervals.between(*sides).interval
    else:
        found = intervals.mean(list(sides[0].values()))
    n = intervals.count_text([len(side) for side in sides])
    return Finding(ours, n, found.text(digits=digits), found.above(0))


def digits_of(value: float) -> int:
    """Returns how many digits after the point a value is printed with."""
    return 3 if abs(value) < 1 else 2


def _by_seed(runs: Sequence[Run], arm: str, of: Callable) -> dict:
    of_arm = [run for run in runs if arms.label(run).split("/")[-1] == arm]
    of_arm = [run for run in of_arm if run.status["status"] in records.ENDED]
    found = {run.config["seed"]: of(run) for run in of_arm}
    return {seed: value for seed, value in found.items() if np.isfinite(value)}


CLAIMS = tuple(
    (question.claim.text, question.claim.paper, folder, partial(find, folder))
    for folder, question in QUESTIONS.items()
)
