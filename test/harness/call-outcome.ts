import type { DescMethod } from '@bufbuild/protobuf'
import { methodPath } from '../../src/client/client.ts'
import { RpcError } from '../../src/client/rpc-error.ts'
import type { Transport } from '../../src/client/transport.ts'

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve()
  yield bytes
}

/** Sends bytes as the only request; says how the call ended: `ok`, or the error's text. */
export async function callOutcome(
  transport: Transport,
  method: DescMethod,
  bytes: Uint8Array,
  timeoutMs: number,
): Promise<string> {
  const path = methodPath(method)
  try {
    if (method.methodKind === 'unary') await transport.unary(path, bytes, { timeoutMs })
    else if (method.methodKind === 'client_streaming') {
      await transport.clientStream(path, once(bytes), { timeoutMs })
    } else {
      for await (const message of transport.serverStream(path, bytes, { timeoutMs })) {
        await message.bytes()
      }
    }
    return 'ok'
  } catch (error) {
    if (!(error instanceof RpcError)) throw error
    return error.message
  }
}
