// Zeroed memory on a cache-line boundary.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

namespace mpsearch {

template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t count) : size_(count), data_(allocate(count)) {
    std::memset(static_cast<void*>(data_.get()), 0, count * sizeof(T));
  }

  T* data() noexcept { return data_.get(); }
  const T* data() const noexcept { return data_.get(); }
  std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t i) noexcept { return data_.get()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_.get()[i]; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* pointer) const noexcept { ::operator delete(pointer, kAlignment); }
  };
  static T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new((count ? count : 1) * sizeof(T), kAlignment));
  }

  std::size_t size_ = 0;
  std::unique_ptr<T, Free> data_;
};

}  // namespace mpsearch
