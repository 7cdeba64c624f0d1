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

/** All functions that return a number give a negative one on failure; `lastError` then says why. */
export interface NativeModule {
  init(buffer: ArrayBufferLike): NativeInfo
  submit(length: number): number
  alloc(bytes: number): number
  release(length: number): void
  guard(owner: object, handle: number, bytes: number): void
  adjustExternal(bytes: number): void
  upload(handle: number, byteOffset: number, view: ArrayBufferView): number
  readSync(handle: number, byteOffset: number, into: ArrayBufferLike): number
  readAsync(
    handle: number,
    byteOffset: number,
    into: ArrayBufferLike,
    done: (code: number) => void,
  ): number
  /** Negative: `done` will not be called. */
  flush(done: (code: number) => void): number
  sync(): number
  /** From here on commands are recorded and not run. The arguments say where the random numbers stand. */
  beginCapture(seedLo: number, seedHi: number, offset: number): number
  /** A handle of what was recorded, to be released as any other; 0 when it is not kept. */
  endCapture(keep: boolean): number
  /** Memory that a capture keeps to itself. */
  captureBytes(handle: number): number
  replay(handle: number, seedLo: number, seedHi: number, offset: number): number
  mapFile(path: string, offset: number, bytes: number): number
  lastError(): NativeErrorInfo
  resetError(): void
  stats(): NativeStats
  /** What the kernel has put behind `reservedBytes`; takes milliseconds. Zeros where the system does not say. */
  pages(): { residentBytes: number; hugePageBytes: number }
  resetPeak(): void
  profile(): NativeProfile
  clearCache(): void
  setMemoryLimit(bytes: number): void
  configure(options: NativeConfiguration): number
  opNames(): string[]
}
