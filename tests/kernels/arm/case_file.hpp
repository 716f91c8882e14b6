// Files of cases, as test_arm.py writes them, and how their numbers are compared.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "layer.hpp"

constexpr int kThreads = 2;  // used where there is enough work for them

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
inline std::vector<float> padded(std::vector<float> values) {
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

std::unique_ptr<mpsearch::Layer> read_layer(Reader& reader, const mpsearch::Implementation& implementation);
void check_layer(const std::string& name, Reader& reader, const mpsearch::Implementation& implementation);
void check_program(const std::string& name, Reader& reader, const mpsearch::Implementation& implementation);
