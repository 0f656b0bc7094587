// Serves one file over HTTP until it is killed: bench/cases/put-from.ts. Prints its port.

import { createReadStream, statSync } from 'node:fs'
import { createServer } from 'node:http'

const [, , path = ''] = process.argv

const server = createServer((request, response) => {
  const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
  const { size } = statSync(path)
  response.writeHead(start === 0 ? 200 : 206, {
    etag: '"file"',
    'content-length': size - start,
    ...(start > 0 && { 'content-range': `bytes ${start}-${size - 1}/${size}` }),
  })
  createReadStream(path, { start, highWaterMark: 1024 * 1024 }).pipe(response)
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  console.log(typeof address === 'object' && address !== null ? address.port : 0)
})
