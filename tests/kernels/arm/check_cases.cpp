// Runs layers from a file on one implementation and compares what they give with what the file says, to the
// bit. test_arm.py writes the file from the numpy reference.
//
//     check_cases                      prints the available implementations, best first
//     check_cases FILE IMPLEMENTATION  prints how many cases are equal; exits with 1 at the first that is
//     not.
//                                      An empty name stands for the best one.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "implementations.hpp"
#include "layer.hpp"

namespace {

using mpsearch::Axis;

constexpr int kThreads = 2;  // used where the layer finds enough work for them
constexpr std::uint8_t kUntouched = 0xee;

class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path, std::ios::binary) {
    if (!file_) throw std::runtime_error("cannot open " + path);
  }
  bool at_end() { return file_.peek() == std::ifstream::traits_type::eof(); }

  // A count of 8 bytes, then as many elements.
  template <class T>
  std::vector<T> array() {
    std::int64_t count = 0;
    read(&count, sizeof count);
    std::vector<T> values(static_cast<std::size_t>(count));
    read(values.data(), values.size() * sizeof(T));
    return values;
  }
  std::string text() {
    const std::vector<char> letters = array<char>();
    return {letters.begin(), letters.end()};
  }

 private:
  void read(void* to, std::size_t bytes) {
    file_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    if (!file_) throw std::runtime_error("the file of cases ends within a case");
  }
  std::ifstream file_;
};

// By channel, to a whole epilogue unit.
std::vector<float> padded(std::vector<float> values) {
  constexpr std::size_t kUnit = mpsearch::kEpilogueUnit;
  values.resize((values.size() + kUnit - 1) / kUnit * kUnit);
  return values;
}

template <class T>
bool same(T a, T b) {
  return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0;  // NaN has many bit patterns
}

template <class T>
void compare(const std::string& name, const char* what, const std::vector<T>& got,
             const std::vector<T>& expected) {
  if (got.size() != expected.size()) throw std::runtime_error(name + ": another number of " + what);
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (same(got[i], expected[i])) continue;
    throw std::runtime_error(name + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(got[i]) +
                             ", not " + std::to_string(expected[i]));
  }
}

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
void check_epilogue(Reader& reader, const std::string& name, mpsearch::Layer& layer, const float* x) {
  const auto sizes = reader.array<std::int64_t>();  // of the input; how many images
  const auto multiplier = padded(reader.array<float>());
  const auto offset = padded(reader.array<float>());
  const auto residual = reader.array<float>();
  const auto bounds = reader.array<float>();
  const auto expected = reader.array<float>();
  const auto channels = static_cast<std::size_t>(layer.out_channels());
  std::vector<Image> images;
  for (std::int64_t i = 0; i < sizes.at(3); ++i) images.emplace_back(reader, expected.size() / channels);
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
  layer.plan(sizes.at(0), sizes.at(1), sizes.at(2));
  layer.load(x);
  layer.compute(nullptr, &epilogue);
  compare(name, "y after its epilogue", y, expected);
  for (const Image& image : images) compare(name, "image", image.bytes, image.expected);
}

void check_case(Reader& reader, const mpsearch::Implementation& implementation) {
  const std::string name = reader.text();
  mpsearch::LayerSpec spec{};
  spec.scheme = reader.text();
  const auto sizes = reader.array<std::int64_t>();
  if (sizes.size() != 16) throw std::runtime_error(name + ": a case has 16 sizes");
  const std::int64_t batch = sizes[0], height = sizes[1], width = sizes[2];
  spec.out_channels = sizes[3];
  spec.in_channels = sizes[4];
  spec.groups = sizes[5];
  spec.height = Axis{sizes[6], sizes[7], sizes[8], sizes[9]};
  spec.width = Axis{sizes[10], sizes[11], sizes[12], sizes[13]};
  spec.zero_point = static_cast<int>(sizes[14]);
  const auto weight = reader.array<std::int8_t>();
  const auto scale = reader.array<float>();
  const auto bias = reader.array<float>();
  const auto threshold = reader.array<float>();
  const auto inverse_scale = reader.array<float>();
  const auto x = reader.array<float>();
  const auto a = reader.array<std::int8_t>();
  const auto expected_sums = reader.array<std::int32_t>();
  const auto expected_y = reader.array<float>();
  spec.weight = weight.data();
  spec.scale = scale.data();
  spec.bias = bias.empty() ? nullptr : bias.data();
  spec.threshold = threshold.empty() ? nullptr : threshold.data();
  spec.inverse_scale = inverse_scale.at(0);

  mpsearch::Layer layer(spec, implementation, kThreads);
  std::vector<std::int32_t> sums(expected_sums.size());
  layer.run_integer(a.data(), batch, height, width, sums.data());
  compare(name, "sums", sums, expected_sums);
  std::vector<float> y(expected_y.size());
  layer.run(x.data(), batch, height, width, y.data());
  compare(name, "y", y, expected_y);
  if (sizes[15] != 0) check_epilogue(reader, name, layer, x.data());
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count == 1) {
      for (const auto* implementation : mpsearch::available_implementations())
        std::puts(implementation->name);
      return 0;
    }
    const mpsearch::Implementation& implementation =
        mpsearch::find_implementation(count > 2 ? arguments[2] : "");
    Reader reader(arguments[1]);
    int cases = 0;
    for (; !reader.at_end(); ++cases) check_case(reader, implementation);
    std::printf("%d cases equal on %s\n", cases, implementation.name);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
