import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { code, refusal, s3Client, s3Keys, S3World } from '../harness/s3-client.ts'
import { TestPachd } from '../harness/test-pachd.ts'

/** Takes whatever comes, so that what is tried is what a request says, not who sends it. */
let open: TestPachd
let signed: S3World
beforeAll(async () => {
  open = await TestPachd.start()
  signed = await S3World.start()
  await call('PUT', '/master.r')
})
afterAll(async () => {
  await open[Symbol.asyncDispose]()
  await signed[Symbol.asyncDispose]()
})

interface Answer {
  readonly status: number
  readonly text: string
}

async function call(
  method: string,
  path: string,
  { body, headers = {} }: { body?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${open.s3Port}${path}`, {
    method,
    headers,
    ...(body !== undefined && { body }),
  })
  return { status: answer.status, text: await answer.text() }
}

function codeIn({ text }: Answer): string {
  return /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? 'none'
}

/** Sends bytes as they are, perhaps to hang up then, and reads until the server closes. */
async function raw(text: string, hangUp: 'hang up' | 'stay' = 'stay'): Promise<string> {
  const socket = await socketTo(open.s3Port)
  let heard = ''
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString('latin1')))
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve()).on('error', () => resolve())
  })
  socket.write(text)
  if (hangUp === 'hang up') socket.end()
  await closed
  return heard
}

async function socketTo(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

test('what a body is not as it says is refused, and nothing is stored', async () => {
  const body = 'hello'
  const sha256 = createHash('sha256').update('other').digest('hex')
  for (const [headers, expected] of [
    [{ 'x-amz-content-sha256': sha256 }, 'XAmzContentSHA256Mismatch'],
    [{ 'content-md5': Buffer.alloc(16).toString('base64') }, 'BadDigest'],
    [{ 'content-md5': 'nonsense' }, 'InvalidDigest'],
    [{ 'x-amz-checksum-crc32': 'AAAAAA==' }, 'BadDigest'],
    [{ 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=' }, 'BadDigest'],
    [{ 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }, 'IncompleteBody'],
    [{ 'x-amz-content-sha256': 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' }, 'NotImplemented'],
  ] as const) {
    const answer = await call('PUT', '/master.r/bad', { body, headers })
    expect([headers, codeIn(answer)]).toEqual([headers, expected])
  }
  const chunks = {
    headers: {
      'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': '6',
    },
    body: '5\r\nhello\r\n0\r\n\r\n',
  }
  expect(codeIn(await call('PUT', '/master.r/bad', chunks))).toBe('IncompleteBody')
  expect(codeIn(await call('GET', '/master.r/bad'))).toBe('NoSuchKey')
})

test('documents that are no S3, or far too large, are refused soon', async () => {
  const key = '<Object><Key>k</Key></Object>'
  for (const [body, expected] of [
    ['', 'MalformedXML'],
    ['<Delete>', 'MalformedXML'],
    [`<Delete>${'<a>'.repeat(300_000)}`, 'MalformedXML'],
    [`<!DOCTYPE x [<!ENTITY a "b">]><Delete>${key}</Delete>`, 'MalformedXML'],
    [`<Delete>${key.repeat(1001)}</Delete>`, 'MalformedXML'],
    [`<Delete><Object></Object></Delete>`, 'MalformedXML'],
    [`<Delete>${' '.repeat(3_000_000)}</Delete>`, 'EntityTooLarge'],
  ] as const) {
    const answer = await call('POST', '/master.r?delete', { body })
    expect([body.slice(0, 40), codeIn(answer)]).toEqual([body.slice(0, 40), expected])
  }
})

test('URLs, numbers and headers that make no sense are refused with what is wrong', async () => {
  for (const [method, path, expected] of [
    ['GET', '/master.r/%ff', 'InvalidURI'],
    ['GET', '/%ff', 'InvalidURI'],
    ['GET', '/master.r?prefix=%', 'InvalidURI'],
    ['GET', '/master.r?max-keys=-1', 'InvalidArgument'],
    ['GET', '/master.r?max-keys=many', 'InvalidArgument'],
    ['GET', '/master.r?encoding-type=rot13', 'InvalidArgument'],
    ['GET', '/master.r?list-type=2&continuation-token=e30', 'InvalidArgument'],
    ['PUT', '/master.r/k?partNumber=0&uploadId=x', 'InvalidArgument'],
    ['PUT', '/master.r/k?partNumber=1&uploadId=x', 'NoSuchUpload'],
    ['PUT', '/master.r/..%2f..%2fetc', 'InvalidArgument'],
    ['PATCH', '/master.r/k', 'MethodNotAllowed'],
    ['POST', '/master.r/k', 'MethodNotAllowed'],
    ['DELETE', '/', 'MethodNotAllowed'],
    ['GET', '/master.r/k?versionId=1', 'NotImplemented'],
  ] as const) {
    const answer = await call(method, path, method === 'GET' ? {} : { body: '' })
    expect([method, path, codeIn(answer)]).toEqual([method, path, expected])
  }
  await call('PUT', '/master.r/there', { body: 'x' })
  const injected = '/master.r/there?response-content-type=a%0d%0aset-cookie:x'
  expect(codeIn(await call('GET', injected))).toBe('InvalidArgument')
  const typed = await call('GET', '/master.r/there?response-content-type=text/html&partNumber=1')
  expect([typed.status, typed.text]).toEqual([200, 'x'])
  expect((await call('GET', '/master.r/there?partNumber=2')).status).toBe(416)
})

test('a web page changes nothing where no keys are needed', async () => {
  await call('PUT', '/master.r/kept', { body: 'x' })
  const body = '<Delete><Object><Key>kept</Key></Object></Delete>'
  const headers = { origin: 'https://elsewhere.example', 'content-type': 'text/plain' }
  expect(codeIn(await call('POST', '/master.r?delete', { body, headers }))).toBe('AccessDenied')
  expect((await call('GET', '/master.r/kept')).text).toBe('x')
})

test('a body that breaks off leaves nothing, and the server goes on', async () => {
  const head = 'PUT /master.r/broken HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n'
  await raw(`${head}only this`, 'hang up')
  await raw(`PUT /master.r/broken HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`)
  expect(codeIn(await call('GET', '/master.r/broken'))).toBe('NoSuchKey')
  expect(await raw(`GET / HTTP/1.1\r\nhost: x\r\n${'a: b\r\n'.repeat(20_000)}\r\n`)).toMatch(
    /^HTTP\/1\.1 (?:400|431)/,
  )
})

function putText(key: string): string {
  return `PUT /master.r/${key} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n${key}`
}

function getText(key: string): string {
  return `GET /master.r/${key} HTTP/1.1\r\nhost: x\r\n\r\n`
}

test('requests sent ahead on one connection are answered in their order', async () => {
  const last = 'GET /master.r/none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'
  const heard = await raw(`${putText('1')}${putText('2')}${getText('2')}${getText('1')}${last}`)
  expect(heard.match(/HTTP\/1\.1 \d+/g)?.map((line) => line.slice(-3))).toEqual([
    '200',
    '200',
    '200',
    '200',
    '404',
  ])
})

test('who may not put is told so, however much there was to send', async () => {
  const bucket = await signed.bucket()
  const other = s3Client(signed.pachd.s3Port, {
    credentials: { accessKeyId: s3Keys.accessKey, secretAccessKey: 'wrong' },
  })
  const object = { Bucket: bucket, Key: 'k', Body: Buffer.alloc(3 * 1024 * 1024) }
  expect(await code(other.send(new PutObjectCommand(object)))).toBe('SignatureDoesNotMatch')
  other.destroy()
  const refused = await refusal(
    signed.client.send(new PutObjectCommand({ ...object, Key: 'a//b' })),
  )
  expect(refused.name).toBe('InvalidArgument')
})

test('buckets are found in host names below the domain, too', async () => {
  const bucket = await signed.bucket()
  await signed.put(bucket, 'k', 'by host')
  const socket = await socketTo(signed.pachd.s3Port)
  let heard = ''
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString()))
  socket.end(`GET /k HTTP/1.1\r\nhost: ${bucket}.s3.example:80\r\nconnection: close\r\n\r\n`)
  await once(socket, 'close')
  expect(heard).toContain('<Resource>/k</Resource>')
  // Signed for that host, as a client with a domain does it.
  const hosted = s3Client(signed.pachd.s3Port)
  hosted.middlewareStack.add(
    (next) => async (args) => {
      const request = args.request as { headers: Record<string, string>; path: string }
      request.headers['host'] = `${bucket}.s3.example`
      request.path = '/new'
      return next(args)
    },
    { step: 'build', priority: 'low' },
  )
  await hosted.send(new PutObjectCommand({ Bucket: 'x', Key: 'new', Body: 'put by host' }))
  hosted.destroy()
  expect(await signed.get(bucket, 'new')).toBe('put by host')
})
