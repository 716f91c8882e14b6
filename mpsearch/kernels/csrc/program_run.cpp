// Planning a program's memory, and running it.
#include <chrono>
#include <new>
#include <utility>

#include "errors.hpp"
#include "layer.hpp"
#include "program.hpp"
#include "storage.hpp"

namespace mpsearch {
namespace {

constexpr double kMostElements = 1099511627776.0;  // 2^40: products of sizes stay far from overflow

std::string text(const ArrayShape& shape) {
  std::string result;
  for (const std::int64_t size : shape) result += (result.empty() ? "(" : ", ") + std::to_string(size);
  return result + ")";
}

}  // namespace

ValueUse Program::root_use(const Step& step) const {
  ValueUse use = step.use();
  for (int& id : use.reads) id = values_[static_cast<std::size_t>(id)].root;
  for (int& id : use.reads_in_place) id = values_[static_cast<std::size_t>(id)].root;
  return use;
}

class Program::Binding final : public Buffers {
 public:
  Binding(const Program& program, std::int64_t batch) : program_(program), batch_(batch) {}
  std::int64_t batch() const noexcept override { return batch_; }
  float* value(int id) const noexcept override {
    const int root = program_.values_[static_cast<std::size_t>(id)].root;
    return program_.arena_->data() + batch_ * program_.offsets_[static_cast<std::size_t>(root)];
  }
  Layer& image(int id) const noexcept override {
    return *program_.images_[static_cast<std::size_t>(id)].layer;
  }

 private:
  const Program& program_;
  const std::int64_t batch_;
};

void Program::prepare(std::int64_t batch) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (batch < 1) throw ShapeError("A batch has at least 1 element; got " + std::to_string(batch) + ".");
  batch_ = 0;  // if memory runs out below, the program stays unprepared
  std::vector<std::int64_t> counts;
  for (std::size_t id = 0; id < values_.size(); ++id) {
    counts.push_back(values_[id].root == static_cast<int>(id) ? values_[id].shape.count() : 0);
  }
  std::vector<ValueUse> uses;
  for (const Entry& entry : steps_) uses.push_back(root_use(*entry.step));
  StoragePlan plan = plan_storage(counts, uses);
  if (static_cast<double>(batch) * static_cast<double>(plan.size) > kMostElements) {
    throw KernelError("A program holds at most 2^40 numbers; a batch of " + std::to_string(batch) +
                      " needs " + std::to_string(plan.size) + " for each. Use a smaller batch.");
  }
  try {
    for (const Image& image : images_) image.layer->plan(batch, image.height, image.width);
    offsets_ = std::move(plan.offset);
    arena_ = std::make_shared<AlignedBuffer<float>>(static_cast<std::size_t>(batch * plan.size));
    const Binding binding(*this, batch);
    for (Entry& entry : steps_) {
      entry.step->bind(binding);
      entry.array_shape[0] = batch;
    }
  } catch (const std::bad_alloc&) {
    throw KernelError("There is not enough memory for a batch of " + std::to_string(batch) +
                      ". Use a smaller batch.");
  }
  batch_ = batch;
}

void Program::check_run(const RunRequest& request) const {
  const auto count = static_cast<std::int64_t>(steps_.size());
  if (batch_ == 0) {
    throw KernelError(
        "A program runs after prepare(batch), and after it again once steps were added; prepare "
        "it first.");
  }
  if (request.first < 0 || request.first > request.last || request.last > count) {
    throw ShapeError("`first` and `last` must be steps, 0 <= first <= last <= " + std::to_string(count) +
                     "; got " + std::to_string(request.first) + " and " + std::to_string(request.last) + ".");
  }
  if (request.seconds != nullptr && request.seconds_count != request.last - request.first) {
    throw ShapeError("`seconds` must have a place for each of the " +
                     std::to_string(request.last - request.first) + " steps; got " +
                     std::to_string(request.seconds_count) + ".");
  }
  for (std::int64_t step = request.first; step < request.last; ++step) {
    const Entry& entry = steps_[static_cast<std::size_t>(step)];
    if (entry.role == Role::kInside) continue;
    if (entry.role == Role::kExternal) {
      throw KernelError("Step " + std::to_string(step) +
                        " is external: run the steps before it, do its work, then run those after it.");
    }
    const bool is_load = entry.role == Role::kLoad;
    const ArrayShape& got = is_load ? request.x_shape : request.out_shape;
    if (got == entry.array_shape) continue;
    throw ShapeError("`" + std::string(is_load ? "x" : "out") + "` must be float32 " +
                     text(entry.array_shape) + " for step " + std::to_string(step) + "; got " +
                     (got[0] == 0 ? "none" : text(got)) + ".");
  }
}

void Program::run(const RunRequest& request) {
  using Clock = std::chrono::steady_clock;
  const std::lock_guard<std::mutex> lock(mutex_);
  check_run(request);
  const RunArrays arrays{request.x, request.out};
  if (request.seconds == nullptr) {
    for (std::int64_t step = request.first; step < request.last; ++step) {
      steps_[static_cast<std::size_t>(step)].step->run(arrays);
    }
    return;
  }
  auto before = Clock::now();
  for (std::int64_t step = request.first; step < request.last; ++step) {
    steps_[static_cast<std::size_t>(step)].step->run(arrays);
    const auto after = Clock::now();
    request.seconds[step - request.first] = std::chrono::duration<double>(after - before).count();
    before = after;
  }
}

Program::View Program::view(int value) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Value& found = value_at(value, "value");
  if (batch_ == 0) {
    throw KernelError("Values have memory after prepare(batch), and after it again once steps were added.");
  }
  if (!values_[static_cast<std::size_t>(found.root)].is_written) {
    throw KernelError("A value that no step writes has no memory; got value " + std::to_string(value) + ".");
  }
  return {Binding(*this, batch_).value(value), arena_, batch_, found.shape};
}

}  // namespace mpsearch
