// Worker threads that take tasks one at a time. They keep the process alive only while they have something to do.

import { availableParallelism } from 'node:os'
import { Worker, parentPort } from 'node:worker_threads'
import type { TransferListItem } from 'node:worker_threads'
import { TokenizerError } from '../errors.js'

/** The answer to one task. */
type Answer<Result> = { readonly result: Result } | { readonly error: string }

interface Job<Task, Result> {
  readonly task: Task
  readonly transfer: readonly TransferListItem[]
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

export class WorkerPool<Task, Result> {
  private readonly workers: Worker[] = []
  private readonly idle: Worker[] = []
  private readonly waiting: Job<Task, Result>[] = []
  private readonly running = new Map<Worker, Job<Task, Result>>()
  private closed = false

  /** `name` is the worker's module beside this one; `data` is what it finds as `workerData`. */
  constructor(
    private readonly name: 'count-worker' | 'encode-worker',
    private readonly data: unknown,
    readonly size: number,
  ) {}

  /** The worker's result. What is in `transfer` is moved to it and must not be used afterwards. */
  run(task: Task, transfer: readonly TransferListItem[] = []): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.closed) {
        reject(new TokenizerError('WorkerPool', 'the workers were closed.'))
        return
      }
      this.waiting.push({ task, transfer, resolve, reject })
      if (this.idle.length === 0 && this.workers.length < this.size) this.start()
      this.assign()
    })
  }

  private start(): void {
    const worker = startWorker(this.name, this.data)
    worker.unref()
    worker.on('message', (answer: Answer<Result>) => {
      const job = this.running.get(worker)
      this.running.delete(worker)
      worker.unref()
      this.idle.push(worker)
      if ('result' in answer) job?.resolve(answer.result)
      else job?.reject(new TokenizerError('WorkerPool', answer.error))
      this.assign()
    })
    worker.on('error', (error) => this.fail(worker, error))
    worker.on('exit', (code) => {
      this.fail(worker, new TokenizerError('WorkerPool', `a worker ended with code ${code}.`))
    })
    this.workers.push(worker)
    this.idle.push(worker)
  }

  private assign(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      const worker = this.idle.pop()!
      const job = this.waiting.shift()!
      this.running.set(worker, job)
      worker.ref()
      worker.postMessage(job.task, job.transfer)
    }
  }

  /** A worker that died takes its task with it; another one takes its place. */
  private fail(worker: Worker, error: Error): void {
    this.running.get(worker)?.reject(error)
    this.running.delete(worker)
    for (const list of [this.workers, this.idle]) {
      if (list.includes(worker)) list.splice(list.indexOf(worker), 1)
    }
    if (this.closed || this.waiting.length === 0) return
    if (this.workers.length < this.size) this.start()
    this.assign()
  }

  /** Ends the workers; tasks that are not done are rejected. */
  async close(): Promise<void> {
    this.closed = true
    const error = new TokenizerError('WorkerPool', 'the workers were closed.')
    for (const job of this.waiting.splice(0)) job.reject(error)
    await Promise.all([...this.workers].map((worker) => worker.terminate()))
  }
}

/** As many workers as are worth having beside the thread that feeds them. */
export function defaultWorkers(): number {
  return Math.min(16, Math.max(1, availableParallelism() - 1))
}

/** In a worker: answers each task by what `work` makes of it. */
export function serve<Task, Result>(
  work: (task: Task) => { readonly result: Result; readonly transfer: readonly ArrayBuffer[] },
): void {
  parentPort!.on('message', (task: Task) => {
    try {
      const { result, transfer } = work(task)
      parentPort!.postMessage({ result } satisfies Answer<Result>, transfer)
    } catch (error) {
      parentPort!.postMessage({ error: (error as Error).message } satisfies Answer<Result>)
    }
  })
}

/** The build puts workers as .js files beside the bundle; in the sources they are .ts files, which tsx must load. */
function startWorker(name: string, workerData: unknown): Worker {
  const own = import.meta.url
  if (!own.endsWith('.ts')) return new Worker(new URL(`./${name}.js`, own), { workerData })
  const { href } = new URL(`./${name}.ts`, own)
  const code = `import('tsx/esm/api').then(({ register }) => (register(), import('${href}')))`
  return new Worker(code, { eval: true, workerData })
}
