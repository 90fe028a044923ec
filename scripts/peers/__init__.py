"""The same networks as users of other frameworks write them, for comparison."""
