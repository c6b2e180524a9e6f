"""A path on a disk or a URL of object storage, as a command's argument."""

from pathlib import Path
from typing import Any

import click

from resources.home import lake_url, place_at
from resources.places import Place
from sleevegraph.errors import ConfigurationError


class PlaceType(click.ParamType):
    """s3://bucket/..., or any path."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:
        """Make a place of it; nothing is read yet."""
        text = str(value)
        if not text.startswith("s3:"):
            return Path(text).absolute()
        try:
            return place_at(lake_url(text))
        except ConfigurationError as error:
            raise click.UsageError(f"{param.human_readable_name if param else 'PATH'}: {error}", ctx) from error


PLACE = PlaceType()
