import { status } from '@grpc/grpc-js'
import { afterEach, expect, test } from 'vitest'
import { API as Pfs } from '../../gen/pfs_pb.ts'
import { framed, GrpcFixture, grpcHeaders } from '../../testing/grpc-fixture.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { service } from './service.ts'

const kib = 1024
/** Three messages of 300 KiB fit, two of them on one connection. */
const admission = {
  large: { bytesMax: 1000 * kib, connectionBytesMax: 700 * kib, places: 8, connectionPlaces: 6 },
  light: { bytesMax: 1000 * kib },
}
const message = framed(new Uint8Array(300 * kib))

const fixture = new GrpcFixture()

afterEach(async () => fixture.close())

interface Stage {
  readonly port: number
  readonly clock: HeldClock
  /** Uploads that say how much they will send, and stop in the middle; gives the codes that they end with. */
  readonly stall: (count: number) => string[]
}

async function stage(): Promise<Stage> {
  const clock = new HeldClock()
  const routes = service(Pfs, {
    putFile: {
      async sliced(requests) {
        for await (const request of requests) await request.bytes()
        return {}
      },
    },
  })
  const { port } = (await fixture.listen(routes, { clock, admission })).address
  const stall = (count: number): string[] => {
    const codes: string[] = []
    const session = fixture.session(port)
    for (let index = 0; index < count; index += 1) {
      const stream = session.request(grpcHeaders('/pfs.API/PutFile'))
      stream.on('error', () => {})
      stream.on('response', (headers) => codes.push(String(headers['grpc-status'])))
      stream.write(message.subarray(0, 100))
    }
    return codes
  }
  return { port, clock, stall }
}

/** An upload of somebody else, of several messages. */
async function upload(port: number): Promise<void> {
  const { call, response } = fixture.client(port).clientStream(Pfs.method.putFile)
  for (let count = 0; count < 3; count += 1) call.write({ value: new Uint8Array(250 * kib) })
  call.end()
  await response
}

test('stalled uploads on one connection keep nobody on another waiting', async () => {
  const { port, clock, stall } = await stage()
  const codes = stall(50)
  await expect.poll(() => clock.sleeperCount).toBeGreaterThan(1) // some of them wait
  await upload(port)
  expect(codes).toEqual([])
})

test('stalled uploads on many connections are given up after ten seconds, while others wait', async () => {
  const { port, clock, stall } = await stage()
  const codes = [stall(3), stall(3), stall(3)]
  await expect.poll(() => clock.sleeperCount).toBeGreaterThan(1)
  let isUploaded = false
  const uploading = upload(port).then(() => (isUploaded = true))
  await expect
    .poll(
      () => {
        clock.advance(1000)
        return isUploaded
      },
      { timeout: 20_000 },
    )
    .toBe(true)
  await uploading
  expect(codes.flat().length).toBeGreaterThan(2)
  expect(new Set(codes.flat())).toEqual(new Set([String(status.RESOURCE_EXHAUSTED)]))
})
