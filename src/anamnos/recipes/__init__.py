"""Named compositions of strategies: parts and settings, no logic."""

from anamnos.recall.recipe import Recipe
from anamnos.recipes.passages_v1 import PASSAGES_V1
from anamnos.recipes.zsum_balanced import ZSUM_BALANCED
from anamnos.recipes.zsum_v1 import ZSUM_V1
from anamnos.recipes.zsum_v2 import ZSUM_V2
from anamnos.recipes.zsum_v3 import ZSUM_V3

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (ZSUM_V3, ZSUM_V2, ZSUM_BALANCED, ZSUM_V1, PASSAGES_V1)}

__all__ = ["RECIPES", "Recipe"]
