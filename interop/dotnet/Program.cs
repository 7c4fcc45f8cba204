// Opens the vectors of client-side encryption with the .NET SDK, and makes vectors with it.
// See README.md: this has not been run.

using System.Reflection;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Azure.Core.Cryptography;
using Azure.Storage;
using Azure.Storage.Blobs;
using Azure.Storage.Blobs.Models;
using Azure.Storage.Blobs.Specialized;

var connection = Environment.GetEnvironmentVariable("AZURE_STORAGE_CONNECTION_STRING")
    ?? throw new InvalidOperationException("AZURE_STORAGE_CONNECTION_STRING is not set");
var failed = false;

switch (args.Length > 0 ? args[0] : "")
{
    case "check":
        foreach (var file in Directory.GetFiles(args[1], "*blob*.json"))
        {
            await Check(file);
        }
        break;
    case "write":
        await Write(args[1]);
        break;
    case "queue":
        foreach (var file in Directory.GetFiles(args[1], "*queue*.json"))
        {
            CheckQueue(file);
        }
        break;
    default:
        Console.Error.WriteLine("check DIR, write FILE or queue DIR");
        return 2;
}
return failed ? 1 : 0;

void Report(bool ok, string name, string detail = "")
{
    failed |= !ok;
    Console.WriteLine((ok ? "ok\t" : "fail\t") + name + (ok || detail == "" ? "" : ": " + detail));
}

BlobContainerClient Container(IKeyEncryptionKey? key, ClientSideEncryptionVersion version)
{
    var options = new SpecializedBlobClientOptions();
    if (key != null)
    {
        options.ClientSideEncryption = new ClientSideEncryptionOptions(version)
        {
            KeyEncryptionKey = key,
            KeyWrapAlgorithm = "A256KW",
        };
    }
    var container = new BlobServiceClient(connection, options).GetBlobContainerClient("cse-dotnet");
    container.CreateIfNotExists();
    return container;
}

// Check stores what a vector holds as it is, and reads it with an encrypting client.
async Task Check(string file)
{
    var root = JsonNode.Parse(File.ReadAllText(file))!;
    foreach (var v in root["vectors"]!.AsArray())
    {
        var name = (string)v!["name"]!;
        if (v["ciphertextBase64"] == null || v["encryptiondata"] == null || name.StartsWith("v2-kek-") || (string?)v["blobType"] == "PageBlob")
        {
            continue;
        }
        var kek = Convert.FromBase64String((string)(v["kekBase64"] ?? root["kekBase64"])!);
        var key = new AesKey((string)(v["kekId"] ?? root["kekId"])!, kek);
        var expect = (string?)v["expect"];
        var plain = Container(null, default).GetBlobClient(name);
        await plain.UploadAsync(new BinaryData(Convert.FromBase64String((string)v["ciphertextBase64"]!)), new BlobUploadOptions
        {
            Metadata = new Dictionary<string, string> { ["encryptiondata"] = (string)v["encryptiondata"]! },
        });
        try
        {
            var got = await Container(key, ClientSideEncryptionVersion.V2_0).GetBlobClient(name).DownloadContentAsync();
            if (expect != null && v["plaintextBase64"] == null)
            {
                Console.WriteLine($"note\t{name}: opens; {expect}");
                continue;
            }
            var want = Convert.FromBase64String((string)v["plaintextBase64"]!);
            Report(got.Value.Content.ToArray().AsSpan().SequenceEqual(want), name, "other content");
        }
        catch (Exception e)
        {
            if (expect != null || name.Contains("2.1"))
            {
                Console.WriteLine($"note\t{name}: refused, {e.GetType().Name}");
                continue;
            }
            Report(false, name, e.Message.Split('\n')[0]);
        }
    }
}

// Write makes vectors: what the SDK writes, read back as it is stored.
async Task Write(string file)
{
    var kek = Convert.FromBase64String("vqQRS55KB9pmRoOtK612QSBD6LyQpBF9R8MP1LQZbRE="); // the test key of the other vectors
    var key = new AesKey("key1", kek);
    var vectors = new JsonArray();
    foreach (var size in new[] { 0, 1, 100, 5000 })
    {
        var text = new byte[size];
        for (var i = 0; i < size; i++)
        {
            text[i] = (byte)(i % 251);
        }
        var name = $"v2-dotnet-len{size}";
        await Container(key, ClientSideEncryptionVersion.V2_0).GetBlobClient(name).UploadAsync(new BinaryData(text), overwrite: true);
        var stored = await Container(null, default).GetBlobClient(name).DownloadContentAsync();
        var data = stored.Value.Details.Metadata.First(m => m.Key.Equals("encryptiondata", StringComparison.OrdinalIgnoreCase)).Value;
        var wrapped = (string)JsonNode.Parse(data)!["WrappedContentKey"]!["EncryptedKey"]!;
        var bound = key.UnwrapKey("A256KW", Convert.FromBase64String(wrapped));
        vectors.Add(new JsonObject
        {
            ["name"] = name,
            ["blobType"] = "BlockBlob",
            ["nonceStyle"] = "dotnet",
            ["encryptiondata"] = data,
            ["plaintextLength"] = size,
            ["cekBase64"] = Convert.ToBase64String(bound.AsSpan(8)),
            ["plaintextBase64"] = Convert.ToBase64String(text),
            ["ciphertextBase64"] = Convert.ToBase64String(stored.Value.Content.ToArray()),
        });
        Report(true, "write " + name);
    }
    var library = typeof(BlobClient).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;
    File.WriteAllText(file, new JsonObject
    {
        ["source"] = "output of running Azure.Storage.Blobs " + library,
        ["kekAlgorithm"] = "A256KW",
        ["kekBase64"] = Convert.ToBase64String(kek),
        ["kekId"] = "key1",
        ["vectors"] = vectors,
    }.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
}

// CheckQueue opens the messages of Python, whose nonces are random. The SDK decrypts where
// it takes a message out of a queue; an account with a queue service is needed.
void CheckQueue(string file)
{
    var root = JsonNode.Parse(File.ReadAllText(file))!;
    var key = new AesKey((string)root["kekId"]!, Convert.FromBase64String((string)root["kekBase64"]!));
    var plain = new Azure.Storage.Queues.QueueClient(connection, "cse-dotnet");
    var options = new Azure.Storage.Queues.Specialized.SpecializedQueueClientOptions
    {
        ClientSideEncryption = new Azure.Storage.Queues.Specialized.QueueClientSideEncryptionOptions(ClientSideEncryptionVersion.V2_0)
        {
            KeyEncryptionKey = key,
            KeyWrapAlgorithm = "A256KW",
        },
    };
    var client = new Azure.Storage.Queues.QueueClient(connection, "cse-dotnet", options);
    plain.CreateIfNotExists();
    foreach (var v in root["vectors"]!.AsArray())
    {
        var name = (string)v!["name"]!;
        plain.ClearMessages();
        plain.SendMessage((string)v["messageText"]!);
        try
        {
            var got = client.PeekMessage().Value.Body.ToString();
            Report(got == (string)v["decryptedUtf8"]!, name, "other content");
        }
        catch (Exception e)
        {
            Console.WriteLine($"note\t{name}: refused, {e.GetType().Name}: {e.Message.Split('\n')[0]}");
        }
    }
}

// AesKey wraps by RFC 3394.
sealed class AesKey(string id, byte[] kek) : IKeyEncryptionKey
{
    public string KeyId => id;

    public byte[] WrapKey(string algorithm, ReadOnlyMemory<byte> key, CancellationToken cancellationToken = default)
    {
        using var aes = NewAes();
        var n = key.Length / 8;
        var r = new byte[8 + key.Length];
        r.AsSpan(0, 8).Fill(0xa6);
        key.Span.CopyTo(r.AsSpan(8));
        for (var j = 0; j < 6; j++)
        {
            for (var i = 1; i <= n; i++)
            {
                var b = new byte[16];
                r.AsSpan(0, 8).CopyTo(b);
                r.AsSpan(8 * i, 8).CopyTo(b.AsSpan(8));
                b = aes.EncryptEcb(b, PaddingMode.None);
                Xor(b, (ulong)(n * j + i));
                b.AsSpan(0, 8).CopyTo(r);
                b.AsSpan(8).CopyTo(r.AsSpan(8 * i));
            }
        }
        return r;
    }

    public byte[] UnwrapKey(string algorithm, ReadOnlyMemory<byte> encryptedKey, CancellationToken cancellationToken = default)
    {
        using var aes = NewAes();
        var r = encryptedKey.ToArray();
        var n = r.Length / 8 - 1;
        for (var j = 5; j >= 0; j--)
        {
            for (var i = n; i >= 1; i--)
            {
                var b = new byte[16];
                r.AsSpan(0, 8).CopyTo(b);
                r.AsSpan(8 * i, 8).CopyTo(b.AsSpan(8));
                Xor(b, (ulong)(n * j + i));
                b = aes.DecryptEcb(b, PaddingMode.None);
                b.AsSpan(0, 8).CopyTo(r);
                b.AsSpan(8).CopyTo(r.AsSpan(8 * i));
            }
        }
        if (r.AsSpan(0, 8).ContainsAnyExcept((byte)0xa6))
        {
            throw new CryptographicException("key unwrap");
        }
        return r[8..];
    }

    public Task<byte[]> WrapKeyAsync(string algorithm, ReadOnlyMemory<byte> key, CancellationToken cancellationToken = default) =>
        Task.FromResult(WrapKey(algorithm, key, cancellationToken));

    public Task<byte[]> UnwrapKeyAsync(string algorithm, ReadOnlyMemory<byte> encryptedKey, CancellationToken cancellationToken = default) =>
        Task.FromResult(UnwrapKey(algorithm, encryptedKey, cancellationToken));

    Aes NewAes()
    {
        var aes = Aes.Create();
        aes.Key = kek;
        return aes;
    }

    static void Xor(byte[] b, ulong t)
    {
        for (var i = 7; i >= 0; i--, t >>= 8)
        {
            b[i] ^= (byte)t;
        }
    }
}
