// The smallest valid media that the suite's content scenarios need.

// A 1x1 PNG, one red pixel.
export const PNG_BASE64 =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';

// A WAV header over eight silent 8-bit samples, built so that its sizes are right.
function silentWav() {
  const samples = Buffer.alloc(8, 0x80);
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8000, 24);
  head.writeUInt32LE(8000, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]).toString('base64');
}

export const WAV_BASE64 = silentWav();

export const text = (value) => ({ type: 'text', text: String(value) });
export const textResult = (value) => ({ content: [text(value)] });
export const image = () => ({ type: 'image', data: PNG_BASE64, mimeType: 'image/png' });
export const embedded = (uri, mimeType, body) => ({
  type: 'resource',
  resource: { uri, mimeType, text: body },
});
