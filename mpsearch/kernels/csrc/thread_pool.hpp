// A small pool of worker threads, shared by all layers of the process.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mpsearch {

inline constexpr int kMaxThreads = 256;

using ChunkFunction = void (*)(void* context, std::size_t chunk, int slot) noexcept;

// Calls function(context, chunk, slot) once for every chunk in 0..chunks - 1 and returns when all are done.
// At most `threads` run at once, the caller among them; each has its own slot in 0..threads - 1.
// Workers are started on first use, spin for some microseconds after a job, then sleep. While another
// Python thread has the pool, the caller does its job alone. A forked child starts its own workers.
void parallel_for(std::size_t chunks, int threads, ChunkFunction function, void* context);

// The same for body(chunk, slot), which must not throw.
template <class Body>
void for_each_chunk(std::int64_t chunks, int threads, Body body) {
  parallel_for(
      static_cast<std::size_t>(chunks), threads,
      [](void* context, std::size_t chunk, int slot) noexcept {
        (*static_cast<Body*>(context))(static_cast<std::int64_t>(chunk), slot);
      },
      &body);
}

}  // namespace mpsearch
