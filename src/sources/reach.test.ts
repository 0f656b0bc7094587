import type { lookup } from 'node:dns'
import { expect, test } from 'vitest'
import { isPublicAddress, ReachGuard } from './reach.ts'

test('public addresses are told from all others', () => {
  for (const address of ['8.8.8.8', '1.1.1.1', '172.32.0.1', '2606:4700::1111', '2a00:1450::1']) {
    expect([address, isPublicAddress(address)]).toEqual([address, true])
  }
  for (const address of [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.8.8.8',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '203.0.113.9',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::a00:1',
    'fc00::1',
    'fd00:ec2::254',
    'fe80::1',
    'fe80::1%eth0',
    'ff02::1',
    '2002:a00:1::',
    '2001::1',
    '2001:db8::1',
    'example.com',
    '',
    '2130706433',
    '0x7f.1',
  ]) {
    expect([address, isPublicAddress(address)]).toEqual([address, false])
  }
})

function answering(...addresses: readonly string[]): typeof lookup {
  const look = (_name: string, _options: object, callback: (error: null, found: object) => void) =>
    callback(
      null,
      addresses.map((address) => ({ address, family: 4 })),
    )
  return look as unknown as typeof lookup
}

async function connected(guard: ReachGuard, all: boolean): Promise<unknown> {
  return new Promise((resolve, reject) => {
    guard.lookup('name', { all }, (error, address) => {
      if (error === null) resolve(address)
      else reject(error)
    })
  })
}

test('a name leads to the addresses that were checked, or nowhere if one of them is private', async () => {
  const open = new ReachGuard('public', answering('8.8.8.8', '1.1.1.1'))
  expect(await connected(open, true)).toHaveLength(2)
  expect(await connected(open, false)).toBe('8.8.8.8')
  const mixed = new ReachGuard('public', answering('8.8.8.8', '169.254.169.254'))
  await expect(connected(mixed, true)).rejects.toThrow('it is 169.254.169.254, no public address')
  const anywhere = new ReachGuard('any', answering('10.0.0.1'))
  expect(await connected(anywhere, false)).toBe('10.0.0.1')
})

test('hosts that are addresses are checked as they are', () => {
  expect(() => new ReachGuard('public').requireHost('[::1]')).toThrow('no public address')
  expect(() => new ReachGuard('public').requireHost('8.8.8.8')).not.toThrow()
  expect(() => new ReachGuard('none').requireHost('8.8.8.8')).toThrow('--sources none')
})
