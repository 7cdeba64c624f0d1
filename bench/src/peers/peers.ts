// Whom we are compared with. A peer is a program that answers how long a work takes (programs/); a new one is a row here.
import { Program, type Command } from './program.js'
import {
  compiled,
  debian13Place,
  host,
  nodeCommand,
  npmPackages,
  pypiPlace,
  threads,
  type Need,
  type Place,
} from './places.js'
import type { Work } from './works.js'

export interface Peer {
  /** What --peers calls it. */
  readonly id: string
  /** Its name until it says its own, with the version. */
  readonly title: string
  readonly needs: Need
  can(work: Work): boolean
  command(): Command
}

const rows = /^(layer norm|softmax|GELU) f32/

const pytorch = (place: Place): Peer => ({
  id: `torch${place.id}`,
  title: `PyTorch${place.title}`,
  needs: place.needs('python3-torch', 'libopenblas0-openmp'),
  can: ({ name }) => !name.endsWith('packed'),
  command: () => place.command(`exec "${place.python}" -B "$PROGRAMS/torch_peer.py" ${threads}`),
})

const openblas = (place: Place): Peer => ({
  id: `openblas${place.id}`,
  title: `OpenBLAS${place.title}`,
  needs: place.needs('libopenblas0-openmp', 'g++'),
  can: ({ name }) => /^(product|linear) f32/.test(name),
  command: () => place.command(compiled('openblas_peer', '-ldl')),
})

const onednn = (place: Place): Peer => ({
  id: `onednn${place.id}`,
  title: `oneDNN${place.title}`,
  needs: place.needs('libdnnl-dev', 'g++'),
  can: ({ name }) => /^(product|linear) (f32|bf16)/.test(name),
  command: () => place.command(compiled('onednn_peer', '-ldnnl')),
})

export const peers: readonly Peer[] = [
  ...[host, debian13Place].flatMap((place) => [pytorch(place), onednn(place), openblas(place)]),
  pytorch(pypiPlace),
  {
    id: 'onnxruntime',
    title: 'onnxruntime-node',
    needs: npmPackages('onnxruntime-node'),
    can: ({ name }) => name.startsWith('product f32') || rows.test(name),
    command: () => nodeCommand('onnxruntime_peer.ts'),
  },
  {
    id: 'tfjs',
    title: 'tfjs wasm',
    needs: npmPackages('@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-wasm'),
    can: ({ name }) => name.startsWith('product f32') || rows.test(name),
    command: () => nodeCommand('tfjs_peer.ts'),
  },
]

/** What a peer says of a work. */
export interface Times {
  /** Milliseconds of each run. */
  readonly ms: readonly number[]
  /** Which of its ways was the fastest, where it has several. */
  readonly way?: string | undefined
}

/** A peer that was started: it answers, or it is known why not. */
export class RunningPeer {
  #program: Program | undefined

  private constructor(
    readonly peer: Peer,
    /** With its version, once it has said so. */
    readonly name: string,
    /** Why it is not there. */
    readonly absent: string | undefined,
    program?: Program,
  ) {
    this.#program = program
  }

  static async start(peer: Peer): Promise<RunningPeer> {
    const program = new Program(peer.command())
    try {
      const { peer: name } = (await program.answer()) as { peer: string }
      return new RunningPeer(peer, name, undefined, program)
    } catch (error) {
      const why = peer.needs.missing() ?? (error as Error).message
      return new RunningPeer(peer, peer.title, why)
    }
  }

  /** What a work took, or why it did not run. A peer that breaks down over one work is started anew for the next. */
  async measure(work: Work, seconds: number): Promise<Times | string> {
    if (this.absent !== undefined) return this.absent
    try {
      if (this.#program === undefined) {
        this.#program = new Program(this.peer.command())
        await this.#program.answer()
      }
      const answer = await this.#program.ask(`${seconds} ${work.name}`)
      const { ms, way, why } = answer as Partial<Times> & { why?: string }
      return ms ? { ms, way } : (why ?? 'no answer')
    } catch (error) {
      this.#program?.stop()
      this.#program = undefined
      return (error as Error).message
    }
  }

  stop(): void {
    this.#program?.stop()
  }
}
