// The steps that a program is made of. Ids and shapes have been checked.
#pragma once

#include <memory>
#include <vector>

#include "geometry.hpp"
#include "sink.hpp"
#include "step.hpp"

namespace mpsearch {

// layer_step.cpp: the layer of that image, from its image.
std::unique_ptr<Step> make_layer_step(int image, Sink sink);

// elementwise_step.cpp: the epilogue of a value; then whole images that take no finished pixels are loaded
// from `loaded`, a value.
std::unique_ptr<Step> make_elementwise_step(const Implementation& implementation, int threads, int source,
                                            std::int64_t pixels, Sink sink, int loaded,
                                            std::vector<int> loads);

// pool_step.cpp
struct PoolSpec {
  Reduction reduction;
  Axis height;  // dilation 1, padding at most half the kernel
  Axis width;
  bool counts_padding;  // in the divisor
};
std::unique_ptr<Step> make_pool_step(const Implementation& implementation, int threads, int source,
                                     const ValueShape& shape, const PoolSpec& spec, Sink sink);

// copy_steps.cpp
std::unique_ptr<Step> make_load_step(int value, const ValueShape& shape, bool channels_first);
std::unique_ptr<Step> make_store_step(int value, const ValueShape& shape, bool channels_first);
// Every stride-th pixel; its channels follow `channels_before` zeros, and zeros follow them.
std::unique_ptr<Step> make_subsample_step(int source, const ValueShape& shape, std::int64_t row_stride,
                                          std::int64_t column_stride, std::int64_t channels_before, int value,
                                          const ValueShape& value_shape);
// Run by the caller.
std::unique_ptr<Step> make_external_step(std::vector<int> reads, int writes);

}  // namespace mpsearch
