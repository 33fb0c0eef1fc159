"""The test suite's runner, and the fuzzer of presets."""
