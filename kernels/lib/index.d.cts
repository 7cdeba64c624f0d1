// The functions of the addon. Programs use @shakti/tensor; this is the border beneath it.

export interface NativeInfo {
  /** Hash of the command layout that the addon was built with. */
  abi: string
  isa: 'portable' | 'avx2' | 'avx512'
  isas: string[]
  threads: number
  cpu: string
  features: string[]
}

export interface NativeErrorInfo {
  /** Status::Code of src/runtime/status.h */
  code: number
  message: string
  op: string
  /** Found while the stream ran, not when the command was issued. */
  late: boolean
}

export interface NativeStats {
  handles: number
  liveBytes: number
  /** Of the live ones: kept for captures. */
  capturedBytes: number
  cachedBytes: number
  peakBytes: number
  reservedBytes: number
  /** Reserved, not live, and out of reach of `clearCache`. */
  fragmentedBytes: number
  /** Commands issued so far, how many ran on the caller's thread, how often the executor was woken. */
  commands: number
  inlined: number
  wakes: number
}

export interface NativeConfiguration {
  threads?: number
  isa?: 'portable' | 'avx2' | 'avx512'
  inline?: 'auto' | 'never' | 'always'
  /** Delay before each queued command, for tests. */
  slowMicroseconds?: number
  /** Fill freed memory with a pattern, for tests. */
  poison?: boolean
  /** Measure every op; `true` starts from zero. */
  profile?: boolean
}

export type NativeProfile = Record<string, { calls: number; milliseconds: number }>

export interface NativeCudaDevice {
  name: string
  bytes: number
  /** Compute capability, as '9.0'. */
  compute: string
  multiprocessors: number
}

/**
 * All functions that return a number give a negative one on failure; `lastError` then says why. `place` is a device: 0, the default,
 * is the CPU, and `openCuda` gives those of GPUs.
 */
export interface NativeModule {
  init(buffer: ArrayBufferLike): NativeInfo
  submit(length: number, place?: number): number
  alloc(bytes: number, place?: number): number
  release(length: number, place?: number): void
  guard(owner: object, handle: number, bytes: number, place?: number): void
  adjustExternal(bytes: number): void
  upload(handle: number, byteOffset: number, view: ArrayBufferView, place?: number): number
  readSync(handle: number, byteOffset: number, into: ArrayBufferLike, place?: number): number
  readAsync(
    handle: number,
    byteOffset: number,
    into: ArrayBufferLike,
    done: (code: number) => void,
    place?: number,
  ): number
  /** Negative: `done` will not be called. */
  flush(done: (code: number) => void, place?: number): number
  sync(place?: number): number
  /** Queues a point at which a GPU takes the time. */
  mark(place?: number): number
  /** Waits; milliseconds from each mark to the next, which are forgotten. A device that takes no times gives none. */
  times(place?: number): number[] | number
  /** From here on commands are recorded and not run; `pool` is a capture to share memory with. The rest: random numbers. */
  beginCapture(
    seedLo: number,
    seedHi: number,
    offset: number,
    place?: number,
    pool?: number,
  ): number
  /** A handle of what was recorded, to be released as any other; 0 when it is not kept. */
  endCapture(keep: boolean, place?: number): number
  /** Memory that a capture added to its pool. */
  captureBytes(handle: number, place?: number): number
  replay(handle: number, seedLo: number, seedHi: number, offset: number, place?: number): number
  mapFile(path: string, offset: number, bytes: number): number
  /** Bytes of one device's storage to another's, in the order of both. */
  transfer(
    fromPlace: number,
    fromHandle: number,
    fromOffset: number,
    toPlace: number,
    toHandle: number,
    toOffset: number,
    bytes: number,
  ): number
  /** The GPUs, or why there is none. */
  cudaDevices(): NativeCudaDevice[] | string
  /** The place of GPU `ordinal`, with the compiled kernels in the folder `modules`; or why it cannot be used. */
  openCuda(ordinal: number, modules: string): number | string
  /** Where the compiled CUDA kernels lie. */
  cudaModules: string
  /** SHAKTI_DEVICE, or 'cpu'. */
  defaultDevice: string
  lastError(): NativeErrorInfo
  resetError(place?: number): void
  stats(place?: number): NativeStats
  /** What the kernel has put behind `reservedBytes`; takes milliseconds. Zeros where the system does not say. */
  pages(place?: number): { residentBytes: number; hugePageBytes: number }
  resetPeak(place?: number): void
  profile(place?: number): NativeProfile
  clearCache(place?: number): void
  setMemoryLimit(bytes: number, place?: number): void
  configure(options: NativeConfiguration, place?: number): number
  opNames(): string[]
}
