import { once } from 'node:events'
import { createServer } from 'node:net'

/** Answers whoever connects to the socket `path`, which it makes. */
export async function listenAt(path: string): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.end('reached\n'))
  await once(server.listen(path), 'listening')
  return {
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}
