#!/bin/sh
# Builds the kernels with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests of native code under
# them.
# The instrumented extension lives in a folder of its own, beside a copy of the package: the source tree keeps its own.
#
#     tests/kernels/sanitize.sh [arguments for pytest]
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python}
build=build/sanitize
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1"

rm -rf "$build/package"
mkdir -p "$build/package"
cp -R mpsearch tests pyproject.toml CMakeLists.txt search_spaces hw_profiles "$build/package"
find "$build/package" -name '_native*.so' -delete
cmake -S "$build/package" -B "$build/cmake" -DPython_EXECUTABLE="$(command -v "$python")" \
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_SHARED_LINKER_FLAGS="$flags" \
    -DCMAKE_MODULE_LINKER_FLAGS="$flags"
cmake --build "$build/cmake"

# Python itself never frees some of its memory, so leaks are not reported. What ends up in a message is
# thrown through torch's libraries, hence the C++ library is loaded first.
cd "$build/package"
preload="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
env LD_PRELOAD="$preload" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 OMP_NUM_THREADS=1 \
    "$python" -m pytest tests/kernels tests/quant/test_uniform_grid.py tests/quant/test_sign_pass.py --ignore tests/kernels/test_arm.py -q -p no:cacheprovider "$@"
