import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { collectBytes, concatBytes } from './bytes.ts'
import {
  MalformedMessageError,
  MessageReader,
  OversizedMessageError,
  type IncomingMessage,
} from './grpc-messages.ts'
import { messageBytesMax, prefixBytes, writePrefix } from './grpc-wire.ts'
import { SliceQueue } from './slice-queue.ts'

const messageLists = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 })

type WayToRead = (message: IncomingMessage) => Promise<Uint8Array | undefined>

const skip: WayToRead = async () => undefined

const waysToRead = fc.constantFrom<WayToRead[]>(
  async (message) => message.bytes(),
  async (message) => concatBytes(await message.parts()),
  async (message) => collectBytes(message.slices(), 40),
  skip,
)

function framed(messages: readonly Uint8Array[]): Uint8Array {
  return concatBytes(
    messages.map((message) => {
      const frame = new Uint8Array(prefixBytes + message.length)
      writePrefix(frame, 0, message.length)
      frame.set(message, prefixBytes)
      return frame
    }),
  )
}

/** A reader of `bytes` that arrive in slices of the sizes given, over and over. */
function readerOf(bytes: Uint8Array, sliceSizes: readonly number[]): MessageReader {
  const queue = new SliceQueue(() => {})
  for (let offset = 0, index = 0; offset < bytes.length; index += 1) {
    const end = offset + (sliceSizes[index % sliceSizes.length] ?? 1)
    queue.push(bytes.subarray(offset, end))
    offset = end
  }
  queue.end()
  return new MessageReader(queue)
}

test('messages come out as they went in, however they are sliced and read', async () => {
  await fc.assert(
    fc.asyncProperty(
      messageLists,
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
      fc.array(waysToRead, { minLength: 1, maxLength: 6 }),
      async (messages, sliceSizes, ways) => {
        const read: unknown[] = []
        const expected = messages.map((message, index) => {
          const isSkipped = ways[index % ways.length] === skip
          return [message.length, isSkipped ? undefined : message]
        })
        for await (const message of readerOf(framed(messages), sliceSizes)) {
          const way = ways[read.length % ways.length] ?? skip
          read.push([message.sizeBytes, await way(message)])
        }
        expect(read).toEqual(expected)
      },
    ),
  )
})

test('a stream cut anywhere but between messages is malformed', async () => {
  await fc.assert(
    fc.asyncProperty(
      messageLists.filter((messages) => messages.length > 0),
      fc.nat(),
      async (messages, position) => {
        const whole = framed(messages)
        const cut = position % whole.length
        const ends = [0, ...messages.keys()].map((count) => framed(messages.slice(0, count)).length)
        const reading = (async () => {
          for await (const message of readerOf(whole.subarray(0, cut), [7])) await message.parts()
        })()
        const outcome = await reading.catch((error: Error) => error.name)
        expect(outcome).toBe(ends.includes(cut) ? undefined : MalformedMessageError.name)
      },
    ),
  )
})

test('a message over the bound is refused before its bytes arrive', async () => {
  const prefix = new Uint8Array(prefixBytes)
  writePrefix(prefix, 0, messageBytesMax + 1)
  await expect(readerOf(prefix, [5]).next()).rejects.toThrow(OversizedMessageError)
})

test('a compressed message is refused where no compression was agreed on', async () => {
  await expect(readerOf(Uint8Array.of(1, 0, 0, 0, 0), [5]).next()).rejects.toThrow('compressed')
  await expect(readerOf(Uint8Array.of(2, 0, 0, 0, 0), [5]).next()).rejects.toThrow('flag 2')
})
