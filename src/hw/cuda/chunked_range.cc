#include "hw/cuda/chunked_range.h"

#include <cuda.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "hw/cuda/cuda_status.h"

namespace qnext::cuda {

// Asked of the runtime, so that the program needs no libcuda to start.
struct ChunkedRange::Driver {
  decltype(&cuGetErrorName) error_name = nullptr;
  decltype(&cuMemGetAllocationGranularity) granularity = nullptr;
  decltype(&cuMemAddressReserve) reserve = nullptr;
  decltype(&cuMemAddressFree) free_addresses = nullptr;
  decltype(&cuMemCreate) create = nullptr;
  decltype(&cuMemRelease) release = nullptr;
  decltype(&cuMemMap) map = nullptr;
  decltype(&cuMemSetAccess) set_access = nullptr;
  decltype(&cuMemUnmap) unmap = nullptr;

  Status ToStatus(CUresult result, std::string_view what) const {
    if (result == CUDA_SUCCESS) return Status();
    const char* name = nullptr;
    if (error_name(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
    return Status(result == CUDA_ERROR_OUT_OF_MEMORY ? StatusCode::kResourceExhausted : StatusCode::kInternal,
                  fmt::format("{}: {} ({})", what, name, static_cast<int>(result)));
  }
};

namespace {

// The first version of CUDA that has all of them; their forms have not changed since.
constexpr unsigned kDriverVersion = 11020;

template <typename Function>
bool Find(const char* name, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, kDriverVersion, cudaEnableDefault, &result);
  if (error != cudaSuccess) cudaGetLastError();
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess) return false;
  function = reinterpret_cast<Function>(found);
  return function != nullptr;
}

CUmemAllocationProp Properties(int device) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

CUdeviceptr Address(const std::byte* data) { return reinterpret_cast<CUdeviceptr>(data); }

}  // namespace

Result<const ChunkedRange::Driver*> ChunkedRange::FindDriver() {
  struct Loaded {
    Driver driver;
    bool complete = false;
  };
  // Constant once found: the process has one driver.
  static const Loaded loaded = [] {
    Loaded found;
    Driver& d = found.driver;
    found.complete = Find("cuGetErrorName", d.error_name) && Find("cuMemGetAllocationGranularity", d.granularity) &&
                     Find("cuMemAddressReserve", d.reserve) && Find("cuMemAddressFree", d.free_addresses) &&
                     Find("cuMemCreate", d.create) && Find("cuMemRelease", d.release) && Find("cuMemMap", d.map) &&
                     Find("cuMemSetAccess", d.set_access) && Find("cuMemUnmap", d.unmap);
    return found;
  }();
  if (!loaded.complete) return Unsupported("the GPU's driver does not map memory piece by piece");
  return &loaded.driver;
}

Result<ChunkedRange> ChunkedRange::Reserve(const GpuInfo& gpu, std::span<const int64_t> chunk_bytes, std::string what) {
  ChunkedRange range;
  range.device_ = gpu.ordinal;  // the runtime numbers GPUs as the driver does
  range.what_ = std::move(what);
  int64_t total = 0;
  for (const int64_t bytes : chunk_bytes) {
    QNEXT_CHECK(bytes > 0 && bytes % kPageBytes == 0, "chunks are whole pages");
    range.chunks_.push_back({.offset = total, .bytes = bytes});
    total += bytes;
  }
  if (total == 0) return range;
  QNEXT_ASSIGN_OR_RETURN(const Driver* driver, FindDriver());
  const CUmemAllocationProp properties = Properties(range.device_);
  size_t granularity = 0;
  QNEXT_RETURN_IF_ERROR(
      driver->ToStatus(driver->granularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM), range.what_));
  if (granularity == 0 || kPageBytes % static_cast<int64_t>(granularity) != 0) {
    return Unsupported(fmt::format("{}: the GPU maps memory in pieces of {}, not of {}", range.what_,
                                   FormatBytes(static_cast<int64_t>(granularity)), FormatBytes(kPageBytes)));
  }
  CUdeviceptr base = 0;
  QNEXT_RETURN_IF_ERROR(driver->ToStatus(
      driver->reserve(&base, static_cast<size_t>(total), static_cast<size_t>(kPageBytes), 0, 0), range.what_));
  range.driver_ = driver;
  range.base_ = reinterpret_cast<std::byte*>(base);
  return range;
}

ChunkedRange::~ChunkedRange() {
  if (base_ == nullptr) return;
  // Errors say that the context is broken, which whoever used it last has been told.
  for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
    if (mapped(chunk)) (void)Unmap(chunk);
  }
  (void)driver_->free_addresses(Address(base_), static_cast<size_t>(reserved_bytes()));
}

Status ChunkedRange::Map(int64_t chunk) {
  Chunk& mine = chunks_[static_cast<size_t>(chunk)];
  QNEXT_CHECK(!mine.mapped, "a chunk is mapped once");
  const auto size = static_cast<size_t>(mine.bytes);
  const CUmemAllocationProp properties = Properties(device_);
  CUmemGenericAllocationHandle memory = 0;
  const CUresult created = driver_->create(&memory, size, &properties, 0);
  if (created == CUDA_ERROR_OUT_OF_MEMORY) {
    QNEXT_ASSIGN_OR_RETURN(const GpuMemory now, ReadGpuMemory());
    return ResourceExhausted(fmt::format("GPU memory: {} of {} do not fit into the {} that are free",
                                         FormatBytes(mine.bytes), what_, FormatBytes(now.free_bytes)));
  }
  QNEXT_RETURN_IF_ERROR(driver_->ToStatus(created, what_));
  const CUdeviceptr address = Address(chunk_data(chunk));
  CUresult result = driver_->map(address, size, 0, memory, 0);
  const bool placed = result == CUDA_SUCCESS;
  if (placed) {
    const CUmemAccessDesc access = {.location = properties.location, .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    result = driver_->set_access(address, size, &access, 1);
    if (result != CUDA_SUCCESS) (void)driver_->unmap(address, size);
  }
  // A mapping keeps its memory alive: without the handle, unmapping gives it back.
  const CUresult released = driver_->release(memory);
  QNEXT_RETURN_IF_ERROR(driver_->ToStatus(result, what_));
  mine.mapped = true;
  return driver_->ToStatus(released, what_);
}

Status ChunkedRange::Unmap(int64_t chunk) {
  Chunk& mine = chunks_[static_cast<size_t>(chunk)];
  QNEXT_CHECK(mine.mapped, "only a mapped chunk is given back");
  QNEXT_RETURN_IF_ERROR(
      driver_->ToStatus(driver_->unmap(Address(chunk_data(chunk)), static_cast<size_t>(mine.bytes)), what_));
  mine.mapped = false;
  return Status();
}

int64_t ChunkedRange::reserved_bytes() const {
  return chunks_.empty() ? 0 : chunks_.back().offset + chunks_.back().bytes;
}

int64_t ChunkedRange::mapped_bytes() const {
  int64_t bytes = 0;
  for (const Chunk& chunk : chunks_) bytes += chunk.mapped ? chunk.bytes : 0;
  return bytes;
}

}  // namespace qnext::cuda
