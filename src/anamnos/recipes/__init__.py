"""Named compositions of strategies: parts and settings, no logic."""

from anamnos.recipes.base import Recipe
from anamnos.recipes.zsum_v1 import ZSUM_V1

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (ZSUM_V1,)}
DEFAULT_RECIPE = ZSUM_V1.name

__all__ = ["DEFAULT_RECIPE", "RECIPES", "Recipe"]
