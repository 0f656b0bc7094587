import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  request as send,
  type Server,
  type ServerResponse,
} from 'node:http'
import { type AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

/**
 * What happens to a request: a status in place of what the server says, or its connection breaks before, after or
 * in the midst of the answer, or stays without one.
 */
export type Trouble =
  | { readonly status: number; readonly body?: string }
  | 'lost request'
  | 'lost answer'
  | 'half an answer'
  | 'no answer'
  | undefined

/** A port that leads to a server of the web, and on which a test may have things go wrong. */
export class UnsteadyPort implements AsyncDisposable {
  readonly url: string
  readonly #server: Server
  readonly #target: URL
  /** Asked of every request. */
  trouble: (request: IncomingMessage) => Trouble = () => undefined

  private constructor(server: Server, target: string) {
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    this.#server = server
    this.#target = new URL(target)
    server.on('request', (request, response) => {
      this.#pass(request, response).catch(() => response.destroy())
    })
  }

  static async open(target: string): Promise<UnsteadyPort> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new UnsteadyPort(server, target)
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const trouble = this.trouble(request)
    if (typeof trouble === 'object') {
      for await (const _ of request) continue
      response.writeHead(trouble.status).end(trouble.body)
      return
    }
    if (trouble === 'no answer') return
    if (trouble === 'lost request') {
      request.socket.destroy()
      return
    }
    const { method, headers, url } = request
    const { hostname, port } = this.#target
    const passed = send({ hostname, port, method, headers, path: url })
    const answered = once(passed, 'response') as Promise<[IncomingMessage]>
    const [, [answer]] = await Promise.all([pipeline(request, passed), answered])
    if (trouble === 'lost answer') {
      for await (const _ of answer) continue
      response.destroy()
      return
    }
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    if (trouble === 'half an answer') {
      for await (const slice of answer) {
        const bytes = slice as Uint8Array
        await new Promise((resolve) => response.write(bytes.subarray(0, bytes.length / 2), resolve))
        break
      }
      response.destroy()
      return
    }
    await pipeline(answer, response)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
