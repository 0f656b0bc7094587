import type { SecretKey, SecretKeys } from '../pipelines/secret-keys.ts'

/** Keys in memory; a test may put another one first, or lose some. */
export class MemorySecretKeys implements SecretKeys {
  readonly place = 'memory'
  keys: readonly SecretKey[]

  constructor(keys: readonly SecretKey[] = [testSecretKey(1)]) {
    this.keys = keys
  }

  async current(): Promise<SecretKey> {
    return this.keys[0] ?? testSecretKey(0)
  }

  async find(id: string): Promise<SecretKey | undefined> {
    return this.keys.find((key) => key.id === id)
  }
}

/** A key that is the same in every run. */
export function testSecretKey(number: number): SecretKey {
  return { id: `key-${number}`, bytes: new Uint8Array(32).fill(number) }
}
