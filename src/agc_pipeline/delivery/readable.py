"""From the entries of a manifest to files that can be read here and now."""

from collections.abc import Sequence

from agc_pipeline.delivery.manifest import Delivered

_LEFT_AT_SERVICE = "servicex://"


def readable(files: Sequence[Delivered]) -> tuple[Delivered, ...]:
    """The same entries, with fresh presigned addresses for what a service keeps.

    Those give access: they are for reading at once, and never stored.

    Raises:
        InputError: if the service no longer has a file.
        ServiceError: if the service does not answer.
    """
    left = [file.path for file in files if file.path and file.path.startswith(_LEFT_AT_SERVICE)]
    if not left:
        return tuple(files)
    # The client is an optional dependency, and slow to import.
    from agc_pipeline.delivery.servicex.addresses import presign  # noqa: PLC0415

    addresses = presign(left)
    return tuple(
        file.model_copy(update={"path": addresses[file.path]}) if file.path in addresses else file
        for file in files
    )
