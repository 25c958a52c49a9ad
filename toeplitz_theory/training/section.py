"""What the sections of a recipe have in common: strict keys and numbers within reach."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Far beyond any use, and small enough that nothing made from them overflows or takes for ever.
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
Size = Annotated[int, Field(ge=1, le=2**20)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of a recipe: unknown keys and values of another kind are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
