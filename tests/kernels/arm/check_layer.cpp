// One layer: from integers to sums, from floats to floats, and through an epilogue into images.
#include "case_file.hpp"

namespace {

constexpr std::uint8_t kUntouched = 0xee;

// One consumer's image and what it must hold: every pixel's bytes and behind them one that nobody may touch.
struct Image {
  mpsearch::ImageTarget target;
  std::vector<float> threshold;
  std::vector<std::uint8_t> expected;
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t*> places;

  Image(Reader& reader, std::size_t pixels) {
    const auto kind_and_zero = reader.array<std::int64_t>();
    const auto inverse_scale = reader.array<float>();
    threshold = padded(reader.array<float>());
    expected = reader.array<std::uint8_t>();
    bytes.assign(expected.size(), kUntouched);
    for (std::size_t i = 0; i < pixels; ++i) places.push_back(bytes.data() + i * (bytes.size() / pixels));
    target = {static_cast<mpsearch::ImageKind>(kind_and_zero.at(0)), places.data(), inverse_scale.at(0),
              static_cast<std::int32_t>(kind_and_zero.at(1)), threshold.data()};
  }
  Image(Image&&) = default;
};

// The layer once more, as a program runs it: through an epilogue into a value and images.
void check_epilogue(Reader& reader, const std::string& name, mpsearch::Layer& layer, const float* x,
                    const std::vector<std::int64_t>& input) {
  const auto image_count = reader.array<std::int64_t>();
  const auto multiplier = padded(reader.array<float>());
  const auto offset = padded(reader.array<float>());
  const auto residual = reader.array<float>();
  const auto bounds = reader.array<float>();
  const auto expected = reader.array<float>();
  const auto channels = static_cast<std::size_t>(layer.out_channels());
  std::vector<Image> images;
  for (std::int64_t i = 0; i < image_count.at(0); ++i)
    images.emplace_back(reader, expected.size() / channels);
  std::vector<mpsearch::ImageTarget> targets;
  for (const Image& image : images) targets.push_back(image.target);

  std::vector<float> y(expected.size());
  mpsearch::Epilogue epilogue{};
  epilogue.multiplier = multiplier.empty() ? nullptr : multiplier.data();
  epilogue.offset = offset.empty() ? nullptr : offset.data();
  epilogue.residual = residual.empty() ? nullptr : residual.data();
  epilogue.low = bounds.at(0);
  epilogue.high = bounds.at(1);
  epilogue.out = y.data();
  epilogue.channels = layer.out_channels();
  epilogue.images = targets.data();
  epilogue.image_count = static_cast<int>(targets.size());
  layer.plan(input.at(0), input.at(1), input.at(2));
  layer.load(x);
  layer.compute(nullptr, &epilogue);
  compare(name, "y after its epilogue", y, expected);
  for (const Image& image : images) compare(name, "image", image.bytes, image.expected);
}

}  // namespace

std::unique_ptr<mpsearch::Layer> read_layer(Reader& reader, const mpsearch::Implementation& implementation) {
  mpsearch::LayerSpec spec{};
  spec.scheme = reader.text();
  const auto sizes = reader.array<std::int64_t>();
  const auto weight = reader.array<std::int8_t>();
  const auto scale = reader.array<float>();
  const auto negative_scale = reader.array<float>();
  const auto bias = reader.array<float>();
  const auto threshold = reader.array<float>();
  const auto inverse_scale = reader.array<float>();
  spec.out_channels = sizes.at(0);
  spec.in_channels = sizes.at(1);
  spec.groups = sizes.at(2);
  spec.height = {sizes.at(3), sizes.at(4), sizes.at(5), sizes.at(6)};
  spec.width = {sizes.at(7), sizes.at(8), sizes.at(9), sizes.at(10)};
  spec.zero_point = static_cast<int>(sizes.at(11));
  spec.input_scale = static_cast<mpsearch::InputScale>(sizes.at(12));
  spec.has_ternary_inputs = sizes.at(13) != 0;
  spec.weight = weight.data();
  spec.scale = scale.data();
  spec.negative_scale = negative_scale.empty() ? nullptr : negative_scale.data();
  spec.bias = bias.empty() ? nullptr : bias.data();
  spec.threshold = threshold.empty() ? nullptr : threshold.data();
  spec.inverse_scale = inverse_scale.at(0);
  return std::make_unique<mpsearch::Layer>(spec, implementation, kThreads);
}

void check_layer(const std::string& name, Reader& reader, const mpsearch::Implementation& implementation) {
  const auto layer = read_layer(reader, implementation);
  const auto sizes = reader.array<std::int64_t>();  // batch, height, width; how many epilogues follow
  const auto x = reader.array<float>();
  const auto a = reader.array<std::int8_t>();
  const auto expected_sums = reader.array<std::int32_t>();
  const auto expected_y = reader.array<float>();
  std::vector<std::int32_t> sums(expected_sums.size());
  layer->run_integer(a.data(), sizes.at(0), sizes.at(1), sizes.at(2), sums.data());
  compare(name, "sums", sums, expected_sums);
  std::vector<float> y(expected_y.size());
  layer->run(x.data(), sizes.at(0), sizes.at(1), sizes.at(2), y.data());
  compare(name, "y", y, expected_y);
  const std::int64_t epilogues = sizes.at(3);
  for (std::int64_t i = 0; i < epilogues; ++i) check_epilogue(reader, name, *layer, x.data(), sizes);
}
