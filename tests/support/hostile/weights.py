"""K2 and K3: HDF5's filters, and too many of everything."""

import zlib

import h5py

from tests.support.hostile.archives import zeros
from tests.support.hostile.frame import WEIGHTS, case
from tests.support.presets import rewrite


def array(preset, change):
    """A preset in which the first array of the weights is replaced by what `change` makes."""
    names = []
    with h5py.File(preset / WEIGHTS, "r+") as file:
        file.visititems(lambda n, v: names.append(n) if isinstance(v, h5py.Dataset) else None)
        shape = file[names[0]].shape
        del file[names[0]]
        change(file, names[0], shape)
    rewrite(preset, WEIGHTS, (preset / WEIGHTS).read_bytes())
    return preset


def _masked(mask):
    def change(file, name, shape):
        """The mask drops one filter, and the other unpacks far more than the chunk's values."""
        options = {"chunks": (2**17,), "compression": "gzip", "shuffle": True}
        data = file.create_dataset(name, (2**17,), "i1", **options)
        data.id.write_direct_chunk((0,), bomb(2**23), filter_mask=mask)

    return change


def bomb(size):
    """A stream of zlib that unpacks to `size` zeros."""
    stream = zlib.compressobj(9)
    return b"".join([*(stream.compress(part) for part in zeros(size)), stream.flush()])


@case("K2", "without its filters, of mask 1")
def a_mask_of_one(preset):
    return array(preset, _masked(1))


@case("K2", "without its filters, of mask 256")
def a_mask_past_the_pipeline(preset):
    return array(preset, _masked(0x100))


def _pipeline(*filters):
    def change(file, name, shape):
        n = 2**18
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((n,))
        for add in filters:
            getattr(plan, f"set_{add}")(*((9,) if add == "deflate" else ()))
        space = h5py.h5s.create_simple((n,))
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_I8LE, space, plan)
        made.write_direct_chunk((0,), bomb(2**23))

    return change


@case("K2", "the filters")
def deflate_before_shuffle(preset):
    return array(preset, _pipeline("deflate", "shuffle"))


@case("K2", "the filters")
def deflate_before_a_checksum(preset):
    return array(preset, _pipeline("deflate", "fletcher32"))


@case("K2", "the filters")
def a_checksum_alone(preset):
    return array(preset, _pipeline("fletcher32"))


@case("K2", "a header that Keras does not write")
def links_in_a_heap_of_its_own(preset):
    """Groups of the new format keep names in a fractal heap, which may be filtered."""
    with h5py.File(preset / WEIGHTS, "r+", libver="latest") as file:
        group = file.create_group("more")
        for i in range(20):
            group.create_group(f"{i}")
    rewrite(preset, WEIGHTS, (preset / WEIGHTS).read_bytes())
    return preset


@case("K2", "superblock of the first format")
def a_file_of_the_newest_format(preset):
    with h5py.File(preset / WEIGHTS) as old, h5py.File(preset / "new", "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
    content = (preset / "new").read_bytes()
    (preset / "new").unlink()
    rewrite(preset, WEIGHTS, content)
    return preset


def _chunks(shape, chunks, **options):
    def change(file, name, _):
        data = file.create_dataset(name, shape, "i1", chunks=chunks, **options)
        data[...] = 1

    return change


@case("K3", "5,000 chunks")
def thousands_of_chunks_of_a_byte(preset):
    return array(preset, _chunks((5_000,), (1,)))


@case("K3", "1,000 chunks")
def edge_chunks_that_hold_one_value_each(preset):
    return array(preset, _chunks((1_000, 1), (1, 1_000), maxshape=(None, None), compression="gzip"))


@case("K3", "too many groups or arrays")
def tens_of_thousands_of_groups(preset):
    with h5py.File(preset / WEIGHTS, "r+") as file:
        for i in range(300):
            group = file.create_group(f"more/{i}")
            for j in range(60):
                group.create_group(f"{j}")
    rewrite(preset, WEIGHTS, (preset / WEIGHTS).read_bytes())
    return preset


@case("K3", "1,000 attributes")
def thousands_of_attributes(preset):
    with h5py.File(preset / WEIGHTS, "r+") as file:
        for i in range(1_000):
            file.attrs[f"a{i}"] = 1
    rewrite(preset, WEIGHTS, (preset / WEIGHTS).read_bytes())
    return preset


@case("K3", "0 bytes for 67,108,864")
def an_array_without_values(preset):
    """Declared and never written: HDF5 makes the values up."""
    return array(preset, lambda file, name, _: file.create_dataset(name, (2**23,), "f8"))


@case("K3", "a name of 60,000 characters")
def a_name_of_a_megabyte(preset):
    with h5py.File(preset / WEIGHTS, "r+") as file:
        file.create_group("x" * 60_000)
    rewrite(preset, WEIGHTS, (preset / WEIGHTS).read_bytes())
    return preset
