#include "thread_pool.hpp"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>

namespace mpsearch {
namespace {

constexpr int kSpins = 300;  // pauses of 40 to 140 cycles: some microseconds

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

struct Job {
  std::size_t chunks;
  ChunkFunction function;
  void* context;
  std::atomic<std::size_t> next{0};

  void work(int slot) noexcept {
    for (std::size_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) {
      function(context, chunk, slot);
    }
  }
};

class Pool {
 public:
  // False if another thread has the pool.
  bool try_run(Job& job, int threads) {
    std::unique_lock<std::mutex> user(user_, std::try_to_lock);
    if (!user.owns_lock()) return false;
    while (workers_ < threads - 1 && start_worker()) {
    }
    {
      std::lock_guard<std::mutex> lock(state_);
      job_ = &job;
      seats_ = threads - 1;
      next_slot_ = 1;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    job.work(0);
    // A worker that has not joined by now finds no job; only those inside are waited for.
    std::unique_lock<std::mutex> lock(state_);
    job_ = nullptr;
    for (int spin = 0; spin < kSpins && running_ > 0; ++spin) {
      lock.unlock();
      pause();
      lock.lock();
    }
    done_.wait(lock, [this] { return running_ == 0; });
    return true;
  }

 private:
  bool start_worker() {
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      return false;  // the job then runs on fewer threads
    }
    ++workers_;
    return true;
  }

  void serve() {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin)
        pause();
      std::unique_lock<std::mutex> lock(state_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
      seen = generation_.load(std::memory_order_relaxed);
      if (job_ == nullptr || seats_ == 0) continue;
      Job* job = job_;
      const int slot = next_slot_++;
      --seats_;
      ++running_;
      lock.unlock();
      job->work(slot);
      lock.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  std::mutex user_;   // held by the thread whose job runs
  std::mutex state_;  // guards what follows
  std::condition_variable wake_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> generation_{0};
  Job* job_ = nullptr;
  int seats_ = 0;
  int next_slot_ = 1;
  int running_ = 0;
  int workers_ = 0;  // guarded by user_
};

std::atomic<Pool*> current{nullptr};

// The parent's workers do not exist in a child, and its locks may be held for ever: leave it all behind.
void forget_pool() { current.store(nullptr); }

// Never destroyed: workers sleep in it until the process ends.
Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
  static_cast<void>(registered);
  Pool* existing = current.load();
  if (existing == nullptr) {
    Pool* created = new Pool;
    if (current.compare_exchange_strong(existing, created)) return *created;
    delete created;
  }
  return *existing;
}

}  // namespace

void parallel_for(std::size_t chunks, int threads, ChunkFunction function, void* context) {
  Job job{chunks, function, context};
  if (threads <= 1 || chunks <= 1 || !pool().try_run(job, threads)) job.work(0);
}

}  // namespace mpsearch
