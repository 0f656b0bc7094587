import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { expect, test } from 'vitest'
import { S3Connections } from './s3-connections.ts'

test('the answer to what was sent is waited for longer than that to a question', async () => {
  const asked = 100
  const server = createServer((request, response) => {
    request.resume()
    if (request.method === 'PUT') setTimeout(() => response.end(), 5 * asked)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await using opened = new AsyncDisposableStack()
  opened.defer(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: 'a', secretAccessKey: 's' },
    requestHandler: new S3Connections({ asked, sent: 60_000 }),
    maxAttempts: 1,
  })
  opened.defer(() => client.destroy())
  const object = { Bucket: 'b', Key: 'k' }
  await client.send(new PutObjectCommand({ ...object, Body: 'x' }))
  await expect(client.send(new GetObjectCommand(object))).rejects.toThrow(
    expect.objectContaining({ name: 'TimeoutError' }),
  )
})
