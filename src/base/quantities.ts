const pattern = /^([+-]?\d+(?:\.\d*)?)(?:[eE]([+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?$/

const suffixes: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/**
 * What a Kubernetes quantity comes to: `64M` and `64e6` are 64 million, `1Gi` is 2^30, `500m` is a
 * half. Undefined for anything else, and for what is below 0 or beyond all numbers.
 */
export function quantityValue(text: string): number | undefined {
  const match = pattern.exec(text)
  if (match === null) return undefined
  const [, digits = '', exponent = '0', suffix = ''] = match
  const value = Number(digits) * 10 ** Number(exponent) * (suffixes[suffix] ?? 1)
  return value >= 0 && Number.isFinite(value) ? value : undefined
}
