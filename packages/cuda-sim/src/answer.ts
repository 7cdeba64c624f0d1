// What the program behind the command prints (native/cli/run.cc).

export interface KernelInfo {
  name: string
  /** Bytes of each parameter */
  parameters: number[]
  registers: number
  shared: number
  local: number
  maxThreads: number
}

export interface BufferInfo {
  /** Its place among the arguments: 2, or 2.1 in a structure */
  argument: string
  type: string
  count: number
  min: number | string
  max: number | string
  mean: number | string
  notFinite: number
  /** Elements that differ from what was put in; absent when nothing was */
  changed?: number
  first: (number | string)[]
}

export type Answer =
  | { usage: string }
  | { error: { code: number; name: string; message: string } }
  | { kernels: KernelInfo[] }
  | { kernel: string; buffers: BufferInfo[] }
