import { connect, type ClientHttp2Session } from 'node:http2'
import type { ClientOptions } from '@grpc/grpc-js'
import { answerLandingPage } from '../api/landing-page.ts'
import { Listener, type ListenOptions } from '../api/listener.ts'
import type { GrpcServerPorts } from '../api/grpc/call-runner.ts'
import type { Route } from '../api/grpc/service.ts'
import { SystemClock } from '../base/clock.ts'
import { prefixBytes, writePrefix } from '../base/grpc-wire.ts'
import { SystemRandom } from '../base/random.ts'
import { GrpcJsClient } from './grpc-js-client.ts'

const listenDefaults = { host: '127.0.0.1', port: 0, connectionCountMax: 1000 }

/** Servers and callers of one test. */
export class GrpcFixture {
  /** What the servers wrote to their logs. */
  readonly failures: { readonly reference: string; readonly error: unknown }[] = []
  readonly #cleanups: (() => unknown)[] = []

  get ports(): GrpcServerPorts {
    const log = {
      failure: (reference: string, _path: string, error: unknown) => {
        this.failures.push({ reference, error })
      },
    }
    return { clock: new SystemClock(), random: new SystemRandom(), log }
  }

  async listen(
    routes: readonly Route[],
    options: Partial<Pick<ListenOptions, 'host' | 'port' | 'connectionCountMax'>> &
      Partial<Pick<GrpcServerPorts, 'clock' | 'admission' | 'backlogBytesMax'>> = {},
  ): Promise<Listener> {
    const { clock, admission, backlogBytesMax, ...where } = options
    const listener = await Listener.open(
      { ...listenDefaults, routes, http: answerLandingPage, ...where },
      {
        ...this.ports,
        ...(clock !== undefined && { clock }),
        ...(admission !== undefined && { admission }),
        ...(backlogBytesMax !== undefined && { backlogBytesMax }),
      },
    )
    this.onClose(async () => listener.close(0))
    return listener
  }

  /** A server of `routes`; gives its port. */
  async serve(...routes: readonly (readonly Route[])[]): Promise<number> {
    return (await this.listen(routes.flat())).address.port
  }

  /** The gRPC project's client. */
  client(port: number, options: ClientOptions = {}): GrpcJsClient {
    const unlimited = {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      // Each client has its own connection.
      'grpc.use_local_subchannel_pool': 1,
    }
    const client = new GrpcJsClient(port, { ...unlimited, ...options })
    this.onClose(() => client[Symbol.dispose]())
    return client
  }

  /** A caller that can misbehave. */
  session(port: number): ClientHttp2Session {
    const session = connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})
    this.onClose(() => session.destroy())
    return session
  }

  onClose(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup)
  }

  /** Closes what was opened, last first. */
  async close(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).toReversed()) await cleanup()
    this.failures.length = 0
  }
}

export function grpcHeaders(path: string): Record<string, string> {
  return { ':method': 'POST', ':path': path, 'content-type': 'application/grpc' }
}

/** `payload` as a message on the wire. */
export function framed(payload: Uint8Array, flag = 0): Buffer {
  const frame = Buffer.alloc(prefixBytes + payload.length)
  writePrefix(frame, 0, payload.length)
  frame[0] = flag
  frame.set(payload, prefixBytes)
  return frame
}
