// Zeroed memory on a cache-line boundary; large memory in large pages, where the system has them: one row of
// activations reads every weight once, and with 4 KiB pages spends much of that time on finding them.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

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
  static constexpr std::align_val_t kCacheLine{64};
  static constexpr std::align_val_t kLargePage{std::size_t{2} << 20};

  struct Free {
    std::align_val_t alignment{kCacheLine};
    void operator()(T* pointer) const noexcept { ::operator delete(pointer, alignment); }
  };
  using Data = std::unique_ptr<T, Free>;

  static Data allocate(std::size_t count) {
    const std::size_t bytes = (count ? count : 1) * sizeof(T);
    const bool is_large = bytes >= static_cast<std::size_t>(kLargePage);
    const std::align_val_t alignment = is_large ? kLargePage : kCacheLine;
    void* memory = ::operator new(bytes, alignment);
#if defined(__linux__)
    // Advice: where it is refused, small pages do.
    if (is_large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    return Data(static_cast<T*>(memory), Free{alignment});
  }

  std::size_t size_ = 0;
  Data data_;
};

}  // namespace mpsearch
