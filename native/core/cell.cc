#include "cell.h"

#include <mutex>
#include <thread>

namespace openautoglm {

namespace {

std::mutex& CellsLock() {
  static std::mutex lock;
  return lock;
}

std::vector<std::unique_ptr<Cell>>& Cells() {
  static auto* cells = new std::vector<std::unique_ptr<Cell>>();  // never freed: calls may outlive static destruction
  return *cells;
}

}  // namespace

int64_t NewCell(Signature signature) {
  std::lock_guard<std::mutex> guard(CellsLock());
  Cells().push_back(std::make_unique<Cell>(std::move(signature)));
  return static_cast<int64_t>(Cells().size()) - 1;
}

Cell* CellOf(int64_t id) {
  std::lock_guard<std::mutex> guard(CellsLock());
  if (id < 0 || id >= static_cast<int64_t>(Cells().size())) {
    TVM_FFI_THROW(ValueError) << "no operator cell has the id " << id;
  }
  return Cells()[id].get();
}

void Cell::Lock() {
  for (int spins = 0; lock_.test_and_set(std::memory_order_acquire); ++spins) {
    if (spins > 64) std::this_thread::yield();
  }
}

Snapshot* Cell::Acquire() {
  Lock();
  Snapshot* snapshot = current_;
  snapshot->references.fetch_add(1, std::memory_order_relaxed);
  Unlock();
  return snapshot;
}

void Cell::Release(Snapshot* snapshot) {
  if (snapshot->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete snapshot;
}

int64_t Cell::Publish(std::unique_ptr<Snapshot> next) {
  Lock();
  Snapshot* old = current_;
  current_ = next.release();
  const int64_t generation = ++generation_;
  Unlock();
  Release(old);  // outside the lock: freeing a snapshot may unmap a library
  return generation;
}

bool Cell::Prepare(Call* call) const {
  const DLTensor* first = nullptr;
  call->key.Add(0);
  for (int i = 0; i < signature_.inputs; ++i) {
    const DLTensor* t = call->tensors[i];
    if (t == nullptr) {
      if (signature_.kinds[i] != '?') return false;
      call->key.Add(kAbsent);
      continue;
    }
    if (first == nullptr) {
      first = t;
    } else if (t->device.device_type != first->device.device_type ||
               t->device.device_id != first->device.device_id) {
      return false;
    }
    if (t->dtype.lanes != 1) return false;
    call->key.Add(DtypeByte(t->dtype));
    if (!Match(signature_.patterns[i], *t, &call->bound)) return false;
    if (call->contiguous && !IsContiguous(*t)) call->contiguous = false;
  }
  call->key.Add(first == nullptr ? 0 : static_cast<uint8_t>(first->device.device_type));
  return true;
}

KernelError TakeError() {
  TVMFFIObjectHandle handle = nullptr;
  TVMFFIErrorMoveFromRaised(&handle);
  if (handle == nullptr) return {"RuntimeError", "the kernel failed and did not say why"};
  const TVMFFIErrorCell* cell = TVMFFIErrorGetCellPtr(handle);
  KernelError error{std::string(cell->kind.data, cell->kind.size),
                    std::string(cell->message.data, cell->message.size)};
  TVMFFIObjectDecRef(handle);
  return error;
}

std::string KernelFailure(const Signature& signature) {
  const KernelError error = TakeError();
  return "[OAG204] a kernel of `" + signature.name + "` failed\n  got: " + error.kind + ": " + error.message;
}

}  // namespace openautoglm
