// Torch's tensors as native passes see them: numbers of a type, taken a chunk at a time by the threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "number.hpp"
#include "thread_pool.hpp"

namespace mpsearch {

inline constexpr std::size_t kChunk = 1 << 15;  // elements a thread takes at a time

// Calls body(chunk, begin, n) for every `size` of `count` elements; the last chunk may have fewer.
template <class Body>
void in_chunks(std::size_t count, std::size_t size, int threads, Body body) {
  const std::size_t chunks = (count + size - 1) / size;
  for_each_chunk(static_cast<std::int64_t>(chunks), threads, [&](std::int64_t index, int) {
    const auto chunk = static_cast<std::size_t>(index);
    body(chunk, chunk * size, std::min(size, count - chunk * size));
  });
}

inline std::size_t bytes(Number number) { return number == Number::kFloat32 ? 4 : 2; }

inline const char* at(const void* start, Number number, std::size_t index) {
  return static_cast<const char*>(start) + index * bytes(number);
}

inline char* at(void* start, Number number, std::size_t index) {
  return static_cast<char*>(start) + index * bytes(number);
}

}  // namespace mpsearch
