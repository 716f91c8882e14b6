"""The compressed size of a packed model is that of its file with each layer's weights as zlib streams."""

from mpsearch.export.compressed_size import compressed_model_bytes
from mpsearch.export.exporters import export_trial
from mpsearch.export.packed_file import WEIGHTS_FILE, read_packed
from mpsearch.kernels.compression import compressed_size_bytes
from mpsearch.kernels.packing import pack_weights


def test_it_is_the_file_less_what_the_weights_of_each_layer_save(trained_run, tmp_path):
    written = export_trial(trained_run, trained_run.records[0], tmp_path / "out")
    packed = read_packed(written)
    raw = [pack_weights(layer.weight, layer.scheme).tobytes() for layer in packed.layers.values()]
    raw += [
        packed.floats[f"{name}.weight"].numpy().tobytes()
        for name, scheme in packed.manifest.policy.items()
        if scheme.is_full_precision
    ]
    size = (written / WEIGHTS_FILE).stat().st_size
    expected = size - sum(map(len, raw)) + sum(map(compressed_size_bytes, raw))
    assert compressed_model_bytes(packed) == expected <= size
