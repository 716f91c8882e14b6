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

template <class T>
void compare(const std::string& name, const char* what, const std::vector<T>& got,
             const std::vector<T>& expected) {
  if (got.size() != expected.size()) throw std::runtime_error(name + ": another number of " + what);
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &expected[i], sizeof(T)) == 0) continue;
    throw std::runtime_error(name + ": " + what + "[" + std::to_string(i) + "] is " + std::to_string(got[i]) +
                             ", not " + std::to_string(expected[i]));
  }
}

void check_case(Reader& reader, const mpsearch::Implementation& implementation) {
  const std::string name = reader.text();
  mpsearch::LayerSpec spec{};
  spec.scheme = reader.text();
  const auto sizes = reader.array<std::int64_t>();
  if (sizes.size() != 15) throw std::runtime_error(name + ": a case has 15 sizes");
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
