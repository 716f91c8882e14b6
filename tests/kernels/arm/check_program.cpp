// A residual block between a change of layout and a pool, as one program:
//     y = store(pool(subsample(layer(layer(x)) + x)))
// with the input of each layer written as an image by the step before it.
#include "case_file.hpp"
#include "program.hpp"

void check_program(const std::string& name, Reader& reader, const mpsearch::Implementation& implementation) {
  using mpsearch::Reduction;
  const auto first = read_layer(reader, implementation);
  const auto second = read_layer(reader, implementation);
  const auto sizes = reader.array<std::int64_t>();
  const auto multiplier = reader.array<float>();
  const auto offset = reader.array<float>();
  const auto bounds = reader.array<float>();
  const auto x = reader.array<float>();
  const auto expected = reader.array<float>();
  const std::int64_t batch = sizes.at(0), height = sizes.at(1), width = sizes.at(2), channels = sizes.at(3);
  const std::int64_t half_height = sizes.at(4), half_width = sizes.at(5);
  const std::int64_t wide = sizes.at(6), before = sizes.at(7);
  const auto reduction = static_cast<Reduction>(sizes.at(8));
  const mpsearch::Axis pool_height{sizes.at(9), sizes.at(10), sizes.at(11), 1};
  const mpsearch::Axis pool_width{sizes.at(12), sizes.at(13), sizes.at(14), 1};
  const std::int64_t out_height = sizes.at(15), out_width = sizes.at(16);

  mpsearch::Program program(implementation, kThreads);
  const int input = program.add_value({height, width, channels});
  const int sum = program.add_value({height, width, channels});
  const int half = program.add_value({half_height, half_width, wide});
  const int pooled = program.add_value({out_height, out_width, wide});
  const int first_image = program.add_image(*first, height, width);
  const int second_image = program.add_image(*second, height, width);
  const float infinity = __builtin_inff();
  const mpsearch::EpilogueSpec nothing{nullptr, nullptr, -1, -infinity, infinity};
  const mpsearch::EpilogueSpec affine{multiplier.data(), offset.data(), -1, bounds.at(0), bounds.at(1)};
  const mpsearch::EpilogueSpec join{multiplier.data(), offset.data(), input, bounds.at(0), bounds.at(1)};
  program.load(input, true);
  program.elementwise(input, {nothing, -1, -1, {first_image}});
  program.layer(first_image, {affine, channels, -1, {second_image}});
  program.layer(second_image, {join, channels, sum, {}});
  program.subsample(sum, 2, 2, before, half);
  program.pool(half, {reduction, pool_height, pool_width, true}, {nothing, -1, pooled, {}});
  program.store(pooled, true);

  program.prepare(batch);
  std::vector<float> y(expected.size());
  program.run({0,
               program.step_count(),
               x.data(),
               {batch, channels, height, width},
               y.data(),
               {batch, wide, out_height, out_width}});
  compare(name, "y", y, expected);
}
