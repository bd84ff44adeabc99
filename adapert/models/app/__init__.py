"""APP, the AdaptivePerturbPredictor of Zhao and Wu (2025), from its equations."""
