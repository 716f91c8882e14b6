// What this CPU can reach at best: how fast one instruction sequence multiplies and adds out of registers,
// and how fast a buffer is read. benchmarks/kernels.py divides the kernels' speed by these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace mpsearch {

// The sequences known for an implementation (by its name), empty if none is.
std::vector<std::string> peak_sequences(const std::string& isa);

// Multiply-accumulates per second of one thread, from one sample of some 20 to 100 microseconds: take many
// and keep the best or the median. Throws KernelError for a sequence that is unknown or cannot run here.
double peak_macs_per_s(const std::string& isa, const std::string& sequence);

// Bytes per second at which one thread reads `count` bytes in order, at least a mebibyte in all; read twice,
// a buffer that fits a cache level comes from there. Whole cache lines are read, the last few perhaps not.
// Throws KernelError for less than 576 bytes.
double read_bytes_per_s(const std::uint8_t* data, std::size_t count);

}  // namespace mpsearch
