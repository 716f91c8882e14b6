// Steps that move numbers without changing them.
#include <algorithm>
#include <utility>

#include "steps.hpp"

namespace mpsearch {
namespace {

// rows x columns, row-major -> columns x rows, in blocks whose lines stay in L1 on both sides.
void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to) noexcept {
  constexpr std::int64_t kBlock = 8;
  for (std::int64_t first_row = 0; first_row < rows; first_row += kBlock) {
    const std::int64_t last_row = std::min(rows, first_row + kBlock);
    for (std::int64_t first = 0; first < columns; first += kBlock) {
      const std::int64_t last = std::min(columns, first + kBlock);
      for (std::int64_t column = first; column < last; ++column) {
        for (std::int64_t row = first_row; row < last_row; ++row) {
          to[column * rows + row] = from[row * columns + column];
        }
      }
    }
  }
}

class LoadStep final : public Step {
 public:
  LoadStep(int value, const ValueShape& shape, bool channels_first)
      : value_(value), shape_(shape), channels_first_(channels_first) {}

  ValueUse use() const override { return {{}, {}, value_}; }

  void bind(const Buffers& buffers) override {
    batch_ = buffers.batch();
    to_ = buffers.value(value_);
  }

  void run(const RunArrays& arrays) noexcept override {
    if (!channels_first_) {
      std::copy_n(arrays.x, batch_ * shape_.count(), to_);
      return;
    }
    for (std::int64_t image = 0; image < batch_; ++image) {
      const std::int64_t at = image * shape_.count();
      transpose(arrays.x + at, shape_.channels, shape_.pixels(), to_ + at);
    }
  }

 private:
  const int value_;
  const ValueShape shape_;
  const bool channels_first_;
  std::int64_t batch_ = 0;
  float* to_ = nullptr;
};

class StoreStep final : public Step {
 public:
  StoreStep(int value, const ValueShape& shape, bool channels_first)
      : value_(value), shape_(shape), channels_first_(channels_first) {}

  ValueUse use() const override { return {{value_}, {}, -1}; }

  void bind(const Buffers& buffers) override {
    batch_ = buffers.batch();
    from_ = buffers.value(value_);
  }

  void run(const RunArrays& arrays) noexcept override {
    if (!channels_first_) {
      std::copy_n(from_, batch_ * shape_.count(), arrays.out);
      return;
    }
    for (std::int64_t image = 0; image < batch_; ++image) {
      const std::int64_t at = image * shape_.count();
      transpose(from_ + at, shape_.pixels(), shape_.channels, arrays.out + at);
    }
  }

 private:
  const int value_;
  const ValueShape shape_;
  const bool channels_first_;
  std::int64_t batch_ = 0;
  const float* from_ = nullptr;
};

class SubsampleStep final : public Step {
 public:
  SubsampleStep(int source, const ValueShape& shape, std::int64_t row_stride, std::int64_t column_stride,
                std::int64_t channels_before, int value, const ValueShape& value_shape)
      : source_(source),
        value_(value),
        shape_(shape),
        out_shape_(value_shape),
        row_stride_(row_stride),
        column_stride_(column_stride),
        channels_before_(channels_before) {}

  ValueUse use() const override { return {{source_}, {}, value_}; }

  void bind(const Buffers& buffers) override {
    batch_ = buffers.batch();
    from_ = buffers.value(source_);
    to_ = buffers.value(value_);
  }

  void run(const RunArrays&) noexcept override {
    const std::int64_t channels_after = out_shape_.channels - channels_before_ - shape_.channels;
    float* to = to_;
    for (std::int64_t image = 0; image < batch_; ++image) {
      for (std::int64_t row = 0; row < out_shape_.height; ++row) {
        const float* from =
            from_ + image * shape_.count() + row * row_stride_ * shape_.width * shape_.channels;
        for (std::int64_t column = 0; column < out_shape_.width; ++column) {
          to = std::fill_n(to, channels_before_, 0.0f);
          to = std::copy_n(from, shape_.channels, to);
          to = std::fill_n(to, channels_after, 0.0f);
          from += column_stride_ * shape_.channels;
        }
      }
    }
  }

 private:
  const int source_;
  const int value_;
  const ValueShape shape_;
  const ValueShape out_shape_;
  const std::int64_t row_stride_;
  const std::int64_t column_stride_;
  const std::int64_t channels_before_;
  std::int64_t batch_ = 0;
  const float* from_ = nullptr;
  float* to_ = nullptr;
};

class ExternalStep final : public Step {
 public:
  ExternalStep(std::vector<int> reads, int writes) : use_{std::move(reads), {}, writes} {}

  ValueUse use() const override { return use_; }
  void bind(const Buffers&) override {}
  void run(const RunArrays&) noexcept override {}

 private:
  const ValueUse use_;
};

}  // namespace

std::unique_ptr<Step> make_load_step(int value, const ValueShape& shape, bool channels_first) {
  return std::make_unique<LoadStep>(value, shape, channels_first);
}

std::unique_ptr<Step> make_store_step(int value, const ValueShape& shape, bool channels_first) {
  return std::make_unique<StoreStep>(value, shape, channels_first);
}

std::unique_ptr<Step> make_subsample_step(int source, const ValueShape& shape, std::int64_t row_stride,
                                          std::int64_t column_stride, std::int64_t channels_before, int value,
                                          const ValueShape& value_shape) {
  return std::make_unique<SubsampleStep>(source, shape, row_stride, column_stride, channels_before, value,
                                         value_shape);
}

std::unique_ptr<Step> make_external_step(std::vector<int> reads, int writes) {
  return std::make_unique<ExternalStep>(std::move(reads), writes);
}

}  // namespace mpsearch
