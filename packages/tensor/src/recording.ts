// Whether a capture is recording, for those who must refuse or leave a note (capture.ts has the rest).
import { CaptureError } from './errors.js'
import type { DeviceName } from './native/places.js'
import type { Storage } from './storage.js'
import type { Tensor } from './tensor.js'

export interface Recording {
  /** The one device whose commands are recorded. */
  readonly device: DeviceName
  /** Storages that recorded commands write. */
  readonly written: Set<Storage>
  /** Tensors whose `.grad` was set. */
  readonly graded: Set<Tensor>
}

/** What the capture under way has seen; undefined when there is none. */
export let recording: Recording | undefined

export function setRecording(r: Recording | undefined): void {
  recording = r
}

/** For calls whose effect no replay could repeat. */
export function refuseInCapture(op: string): void {
  if (recording) {
    throw new CaptureError(
      op,
      'cannot be part of a capture: its commands are recorded and run later, in replay(), without JavaScript. Call it before or after.',
    )
  }
}
