import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { SystemClock } from '../base/clock.ts'
import { InvalidArgumentError, UnavailableError } from '../base/errors.ts'
import { SystemRandom } from '../base/random.ts'
import { openTestVersioning, type TestVersioning } from '../testing/test-versioning.ts'
import type { HttpConfig, S3Config } from './server-config.ts'
import { Doors, probeDoors } from './doors.ts'
import { Log } from './log.ts'
import type { ServerPorts } from './ports.ts'

const host = '127.0.0.1'

let world: TestVersioning
beforeAll(async () => {
  world = await openTestVersioning()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

let lines: string[]
let other: Server
beforeEach(async () => {
  lines = []
  other = createServer().listen(0, host)
  await once(other, 'listening')
})
afterEach(() => {
  other.close()
})

function takenPort(): number {
  return (other.address() as AddressInfo).port
}

async function open(http: HttpConfig | undefined): Promise<Doors> {
  const clock = new SystemClock()
  const log = new Log(clock, (line) => lines.push(line))
  const ports: ServerPorts = { clock, random: new SystemRandom(), log, release: 'test' }
  const config = { host, port: 0, ...(http !== undefined && { http }) }
  return Doors.open(config, { routes: [], versioning: world.versioning }, ports)
}

async function reposAt(address: { readonly port: number } | undefined): Promise<unknown> {
  return (await fetch(`http://${host}:${address?.port}/v1/pfs/repos`)).json()
}

test('both doors serve files by HTTP; without the second, the first does', async () => {
  {
    await using doors = await open({ host, port: 0, isAsked: true })
    expect(doors.httpAddress?.port).not.toBe(doors.address.port)
    for (const address of [doors.address, doors.httpAddress]) {
      expect(await reposAt(address)).toEqual({ repos: [] })
    }
    const [landing, there] = await Promise.all(
      [doors.address, doors.httpAddress].map(async (address) =>
        fetch(`http://${host}:${address?.port}/`, { redirect: 'manual' }),
      ),
    )
    expect(await landing?.text()).toContain(`http://${host}:${doors.address.port}/v1/pfs/repos/`)
    expect([there?.status, there?.headers.get('location')]).toEqual([302, './v1/pfs/repos/'])
  }
  await using doors = await open(undefined)
  expect(doors.httpAddress).toBeUndefined()
  expect(await reposAt(doors.address)).toEqual({ repos: [] })
  expect(lines).toEqual([])
})

test('a port for HTTP that is taken is refused to who asked for it, with the way out', async () => {
  const http = { host, port: takenPort(), isAsked: true }
  for (const opening of [open(http), probeDoors({ host, port: 0, http })]) {
    const refused: unknown = await opening.catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(UnavailableError)
    expect(String(refused)).toContain(
      `--http-address: cannot listen on ${host}, port ${http.port}: another`,
    )
    expect(String(refused)).toContain('or off to do without')
  }
  const elsewhere = { host: '192.0.2.1', port: 0, isAsked: true }
  await expect(open(elsewhere)).rejects.toThrow(InvalidArgumentError)
})

test('S3 has a door of its own, which is refused or done without as that for files is', async () => {
  const clock = new SystemClock()
  const log = new Log(clock, (line) => lines.push(line))
  const ports: ServerPorts = { clock, random: new SystemRandom(), log, release: 'test' }
  const what = { routes: [], versioning: world.versioning }
  const openS3 = (s3: S3Config): Promise<Doors> => Doors.open({ host, port: 0, s3 }, what, ports)
  {
    await using doors = await openS3({ host, port: 0, isAsked: true })
    expect(doors.httpAddress).toBeUndefined()
    const answer = await fetch(`http://${host}:${doors.s3Address?.port}/`)
    expect(await answer.text()).toContain('<ListAllMyBucketsResult')
    expect(lines).toEqual([expect.stringMatching(/ warning .*S3 is served to anybody/)])
  }
  {
    const keys = { accessKey: 'a', secretKey: 'b' }
    await using doors = await openS3({ host, port: 0, isAsked: true, keys })
    const answer = await fetch(`http://${host}:${doors.s3Address?.port}/`)
    expect(await answer.text()).toContain('<Code>AccessDenied</Code>')
    expect(lines).toHaveLength(1)
  }
  const taken = { host, port: takenPort(), isAsked: true }
  const refused = expect.stringContaining(`--s3-address: cannot listen on ${host}`) as string
  await expect(openS3(taken)).rejects.toMatchObject({ message: refused })
  await expect(probeDoors({ host, port: 0, s3: taken })).rejects.toMatchObject({ message: refused })
  await using doors = await openS3({ ...taken, isAsked: false })
  expect(doors.s3Address).toBeUndefined()
  expect(lines.at(-1)).toMatch(/ warning .*S3 is not served.*--s3-address/)
})

test('where nobody asked for it, it is done without, and that is logged', async () => {
  const http = { host, port: takenPort(), isAsked: false }
  await probeDoors({ host, port: 0, http })
  await using doors = await open(http)
  expect(doors.httpAddress).toBeUndefined()
  expect(await reposAt(doors.address)).toEqual({ repos: [] })
  expect(lines).toEqual([expect.stringMatching(/ warning .*--http-address.*another program does/)])
})
