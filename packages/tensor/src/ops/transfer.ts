// A tensor on another device.
import { tracks } from '../autograd/tape.js'
import { DeviceError } from '../errors.js'
import { dtypeSize } from '../dtype.js'
import { issueOne } from '../native/encode.js'
import { native, takeNativeError } from '../native/binding.js'
import { placeOf, type DeviceName } from '../native/places.js'
import { refuseInCapture } from '../recording.js'
import { allocate, Storage } from '../storage.js'
import { Tensor } from '../tensor.js'
import { record } from './table.js'

/** A contiguous copy of x on `device`, on the tape. */
export function transfer(x: Tensor, device: DeviceName): Tensor {
  x.assertLive('to')
  if (x.device === 'meta')
    throw new DeviceError('to', `${x.describe()} is on meta: it has no elements to move.`)
  const bytes = x.numel * dtypeSize(x.dtype)
  if (device === 'meta') return new Tensor(new Storage(0, bytes, 'meta'), x.dtype, x.shape)
  refuseInCapture('to')
  const from = x.isContiguous() ? x : issueOne('copy', [x], { shape: x.shape, dtype: x.dtype })
  const y = new Tensor(allocate('to', bytes, device), x.dtype, x.shape)
  const code = native().transfer(
    placeOf(x.device),
    from.storage.handle,
    from.offset * dtypeSize(x.dtype),
    placeOf(device),
    y.storage.handle,
    0,
    bytes,
  )
  if (from !== x) from.dispose()
  if (code < 0) throw takeNativeError('to')
  const home = x.device
  if (tracks([x])) record('to', y, [x], (g) => [transfer(g, home)], [])
  return y
}
