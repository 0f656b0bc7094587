import { connect, type Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { InvalidArgumentError } from '../base/errors.ts'
import {
  Code,
  encodedBytes,
  formatTimeout,
  isWebContentType,
  messageBytesMax,
  prefixBytes,
  webContentType,
  type EncodedMessage,
} from '../base/grpc-wire.ts'
import { SliceQueue } from '../base/slice-queue.ts'
import { addressText, type Address } from '../client/address.ts'
import { RpcError } from '../client/rpc-error.ts'
import type { CallOptions } from '../client/transport.ts'
import { framedParts, readWebMessage } from '../client/web-messages.ts'
import { connectMsMax, noAnswer, unreachable } from '../node-client/unreachable.ts'

const answerBytesMax = messageBytesMax + 64 * 1024
const timerMsMax = 2 ** 31 - 1
const headEnd = '\r\n\r\n'

/**
 * One call over one connection, by gRPC-Web in HTTP/1.0, which ends an answer by hanging up.
 *
 * Undefined when the server does not know gRPC-Web: then it has not done anything either.
 *
 * @throws {UnavailableError} when the server cannot be reached.
 * @throws {RpcError} when the call failed.
 */
export async function quickUnary(
  address: Address,
  clock: Clock,
  path: string,
  request: EncodedMessage,
  options: CallOptions = {},
): Promise<Uint8Array | undefined> {
  const size = encodedBytes(request)
  if (size > messageBytesMax) {
    throw new RpcError(
      Code.resourceExhausted,
      `trying to send message larger than max (${size} vs. ${messageBytesMax})`,
    )
  }
  const head = requestHead(address, path, size + prefixBytes, options)
  const answer = await exchange(
    address,
    clock,
    [Buffer.from(head), ...framedParts(request)],
    options,
  )
  const bodyStart = answer.indexOf(headEnd)
  const type = /\r\ncontent-type: *([^\r]*)/i.exec(answer.toString('latin1', 0, bodyStart + 2))?.[1]
  if (!answer.subarray(0, 5).equals(Buffer.from('HTTP/')) || !isWebContentType(type ?? '')) {
    return undefined
  }
  const body = new SliceQueue(() => {})
  body.push(answer.subarray(bodyStart + headEnd.length))
  body.end()
  return readWebMessage(body)
}

function requestHead(
  address: Address,
  path: string,
  sizeBytes: number,
  { timeoutMs, metadata }: CallOptions,
): string {
  const fields: Record<string, string> = {
    ...metadata,
    host: addressText(address),
    'content-type': webContentType,
    'content-length': String(sizeBytes),
  }
  if (timeoutMs !== undefined) fields['grpc-timeout'] = formatTimeout(timeoutMs)
  let head = `POST ${path} HTTP/1.0\r\n`
  for (const [name, value] of Object.entries(fields)) {
    if (!/^[\u0020-\u007e]*$/.test(value)) {
      throw new InvalidArgumentError(`${name} holds characters that a header cannot`)
    }
    head += `${name}: ${value}\r\n`
  }
  return `${head}\r\n`
}

/** Sends `request` and reads until the server hangs up. */
async function exchange(
  address: Address,
  clock: Clock,
  request: readonly Uint8Array[],
  { signal, timeoutMs = Infinity }: CallOptions,
): Promise<Buffer> {
  if (signal?.aborted === true) throw cancelled()
  const timer = new AbortController()
  const socket = connect({ ...address, noDelay: true })
  const cancel = (): void => void socket.destroy(cancelled())
  signal?.addEventListener('abort', cancel, { once: true })
  const connectTimer = new AbortController()
  after(connectMsMax, connectTimer.signal, () => socket.destroy(noAnswer()))
  after(timeoutMs, timer.signal, () => socket.destroy(timeUp()))
  try {
    await connected(socket).catch((error: unknown) => {
      throw error instanceof RpcError ? error : unreachable(address, error)
    })
    connectTimer.abort()
    socket.cork()
    for (const part of request) socket.write(part)
    socket.uncork()
    return await readAll(socket)
  } finally {
    connectTimer.abort()
    timer.abort()
    signal?.removeEventListener('abort', cancel)
    socket.destroy()
  }

  function after(ms: number, stop: AbortSignal, act: () => void): void {
    if (ms <= timerMsMax) clock.sleep(ms, stop).then(act, () => {})
  }
}

async function connected(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
}

async function readAll(socket: Socket): Promise<Buffer> {
  const slices: Buffer[] = []
  let size = 0
  try {
    for await (const slice of socket as AsyncIterable<Buffer>) {
      slices.push(slice)
      size += slice.length
      if (size > answerBytesMax)
        throw new RpcError(Code.resourceExhausted, 'the answer is too long')
      // What does not begin so is no HTTP/1 and may never hang up.
      if (size >= 5 && slices[0]?.[0] !== 0x48) break
    }
  } catch (cause) {
    if (cause instanceof RpcError) throw cause
    throw new RpcError(Code.unavailable, 'the connection to the server was lost', { cause })
  }
  if (size === 0) throw new RpcError(Code.unavailable, 'the server hung up without an answer')
  return Buffer.concat(slices)
}

function cancelled(): RpcError {
  return new RpcError(Code.cancelled, 'context canceled')
}

function timeUp(): RpcError {
  return new RpcError(Code.deadlineExceeded, 'context deadline exceeded')
}
