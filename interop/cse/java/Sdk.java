import com.azure.core.cryptography.AsyncKeyEncryptionKey;
import com.azure.core.util.Context;
import com.azure.storage.blob.BlobContainerClient;
import com.azure.storage.blob.BlobServiceClientBuilder;
import com.azure.storage.blob.models.BlobItem;
import com.azure.storage.blob.models.BlobRange;
import com.azure.storage.blob.models.ListBlobsOptions;
import com.azure.storage.blob.options.BlobParallelUploadOptions;
import com.azure.storage.blob.specialized.cryptography.EncryptedBlobClient;
import com.azure.storage.blob.specialized.cryptography.EncryptedBlobClientBuilder;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyFactory;
import java.security.interfaces.RSAPrivateCrtKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.RSAPublicKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.crypto.spec.SecretKeySpec;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Writes and reads encrypted blobs with the real Java SDK, of any version.
 *
 *   Sdk write PREFIX VERSION REGION   blobs PREFIX/REGION-VERSION/KEY/SIZE
 *   Sdk read PREFIX                   checks every blob below PREFIX, whole and in ranges
 *   Sdk probe BLOB                    says whether the SDK opens a blob
 *   Sdk empty PREFIX                  looks for writes that end in an empty region
 *   Sdk bench FILE BLOB               times one upload and one download of a file
 *
 * Keys and the connection string come by environment. Prints one line a check: ok or
 * fail, a tab, its name. What some versions lack is asked for by reflection.
 */
public final class Sdk {
    static final String CONNECTION = System.getenv("AZURE_STORAGE_CONNECTION_STRING");

    static final class Key implements AsyncKeyEncryptionKey {
        final String id;
        final String algorithm;
        final SecretKeySpec aes;
        final java.security.PrivateKey rsa;
        final java.security.PublicKey rsaPublic;

        Key(String id, byte[] aes) {
            this.id = id;
            this.algorithm = "A256KW";
            this.aes = new SecretKeySpec(aes, "AES");
            this.rsa = null;
            this.rsaPublic = null;
        }

        Key(String id, java.security.PrivateKey rsa, java.security.PublicKey pub) {
            this.id = id;
            this.algorithm = "RSA-OAEP-256";
            this.aes = null;
            this.rsa = rsa;
            this.rsaPublic = pub;
        }

        public Mono<String> getKeyId() {
            return Mono.just(id);
        }

        byte[] run(String name, int mode, byte[] data) {
            if (!name.equals(algorithm)) {
                throw new IllegalArgumentException("algorithm " + name);
            }
            try {
                if (aes != null) {
                    Cipher c = Cipher.getInstance("AESWrap");
                    if (mode == Cipher.WRAP_MODE) {
                        c.init(mode, aes);
                        return c.wrap(new SecretKeySpec(data, "AES"));
                    }
                    c.init(mode, aes);
                    return c.unwrap(data, "AES", Cipher.SECRET_KEY).getEncoded();
                }
                Cipher c = Cipher.getInstance("RSA/ECB/OAEPPadding");
                OAEPParameterSpec oaep = new OAEPParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT);
                boolean wrap = mode == Cipher.WRAP_MODE;
                c.init(wrap ? Cipher.ENCRYPT_MODE : Cipher.DECRYPT_MODE, wrap ? rsaPublic : rsa, oaep);
                return c.doFinal(data);
            } catch (Exception e) {
                throw new RuntimeException(e);
            }
        }

        public Mono<byte[]> wrapKey(String name, byte[] key) {
            return Mono.fromCallable(() -> run(name, Cipher.WRAP_MODE, key));
        }

        public Mono<byte[]> unwrapKey(String name, byte[] key) {
            return Mono.fromCallable(() -> run(name, Cipher.UNWRAP_MODE, key));
        }
    }

    static Map<String, Key> keys() throws Exception {
        Map<String, Key> all = new LinkedHashMap<>();
        String aes = new String(Files.readAllBytes(Paths.get(System.getenv("CSE_AES_KEY")))).trim();
        all.put("aes1", new Key("aes1", Base64.getDecoder().decode(aes)));
        String pem = new String(Files.readAllBytes(Paths.get(System.getenv("CSE_RSA_KEY"))));
        byte[] der = Base64.getDecoder().decode(pem.replaceAll("-----[^-]*-----", "").replaceAll("\\s", ""));
        KeyFactory factory = KeyFactory.getInstance("RSA");
        RSAPrivateCrtKey key = (RSAPrivateCrtKey) factory.generatePrivate(new PKCS8EncodedKeySpec(der));
        all.put("rsa1", new Key("rsa1", key, factory.generatePublic(new RSAPublicKeySpec(key.getModulus(), key.getPublicExponent()))));
        return all;
    }

    static EncryptedBlobClient client(String name, Key key, String version, long region) throws Exception {
        EncryptedBlobClientBuilder b;
        try {
            Class<?> versions = Class.forName("com.azure.storage.blob.specialized.cryptography.EncryptionVersion");
            Object v = Enum.valueOf((Class) versions, version.equals("1.0") ? "V1" : version.equals("2.1") ? "V2_1" : "V2");
            b = EncryptedBlobClientBuilder.class.getConstructor(versions).newInstance(v);
        } catch (ClassNotFoundException e) {
            b = EncryptedBlobClientBuilder.class.getConstructor().newInstance();
        }
        b.connectionString(CONNECTION).containerName("cse").blobName(name).key(key, key.algorithm);
        if (version.equals("2.1")) {
            Class<?> options = Class.forName("com.azure.storage.blob.specialized.cryptography.BlobClientSideEncryptionOptions");
            Object o = options.getConstructor().newInstance();
            options.getMethod("setAuthenticatedRegionDataLengthInBytes", long.class).invoke(o, region);
            EncryptedBlobClientBuilder.class.getMethod("clientSideEncryptionOptions", options).invoke(b, o);
        }
        return b.buildEncryptedBlobClient();
    }

    static BlobContainerClient box() {
        return new BlobServiceClientBuilder().connectionString(CONNECTION).buildClient().getBlobContainerClient("cse");
    }

    static byte[] pattern(long at, long n) {
        byte[] b = new byte[(int) n];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) ((at + i) % 251);
        }
        return b;
    }

    static void report(boolean ok, String name, Object detail) {
        System.out.println((ok ? "ok\t" : "fail\t") + name + (ok || detail == null ? "" : ": " + detail.toString().replace('\n', ' ')));
    }

    static void write(String prefix, String version, long d) throws Exception {
        for (Key key : keys().values()) {
            for (long size : new long[] {0, 1, d - 1, d, d + 1, 3 * d + 7}) {
                String name = prefix + "/" + d + "-" + version + "/" + key.id + "/" + size;
                try {
                    client(name, key, version, d).upload(new ByteArrayInputStream(pattern(0, size)), size, true);
                    report(true, "write " + name, null);
                } catch (Throwable e) {
                    report(false, "write " + name, e);
                }
            }
        }
    }

    static byte[] download(EncryptedBlobClient c, BlobRange range) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        c.downloadWithResponse(out, range, null, null, false, null, Context.NONE);
        return out.toByteArray();
    }

    static void read(String prefix, String version) throws Exception {
        Map<String, Key> keys = keys();
        int n = 0;
        for (BlobItem item : box().listBlobs(new ListBlobsOptions().setPrefix(prefix + "/"), null)) {
            n++;
            String[] words = item.getName().split("/");
            long size = Long.parseLong(words[words.length - 1]);
            long d = Long.parseLong(words[words.length - 3].split("-")[0]);
            Key key = keys.get(words[words.length - 2]);
            try {
                EncryptedBlobClient c = client(item.getName(), key, version, d);
                report(Arrays.equals(download(c, null), pattern(0, size)), "read " + item.getName(), "other content");
                String bad = "";
                long[][] ranges = {{0, 1}, {0, size}, {d - 1, 2}, {d, 1}, {5, d}, {size - 1, 1}, {size - 17, 17}, {2 * d + 3, d}};
                for (long[] r : ranges) {
                    long count = Math.min(r[1], size - r[0]);
                    if (r[0] < 0 || count <= 0) {
                        continue;
                    }
                    if (!Arrays.equals(download(c, new BlobRange(r[0], count)), pattern(r[0], count))) {
                        bad += r[0] + "+" + count + " ";
                    }
                }
                report(bad.isEmpty(), "ranges " + item.getName(), bad);
            } catch (Throwable e) {
                report(false, "read " + item.getName(), e);
            }
        }
        if (n == 0) {
            report(false, "read " + prefix, "there are no blobs");
        }
    }

    static void probe(String name, String version) throws Exception {
        try {
            byte[] got = download(client(name, keys().get("aes1"), version, 4 << 20), null);
            System.out.println("note\topens " + name + " (" + got.length + " bytes)");
        } catch (Throwable e) {
            Throwable cause = e;
            while (cause.getCause() != null && cause.getCause() != cause) {
                cause = cause.getCause();
            }
            System.out.println("note\trefuses " + name + ": " + cause.getClass().getSimpleName() + " " + ("" + cause.getMessage()).split("\n")[0]);
        }
    }

    static void empty(String prefix) throws Exception {
        int d = 4 << 20;
        Key key = keys().get("aes1");
        for (int size : new int[] {0, d, 2 * d}) {
            byte[] data = pattern(0, size);
            String[] ways = {"stream", "flux", "flux-with-empty", "output", "file"};
            for (String way : ways) {
                String name = prefix + "/" + way + "-" + size;
                try {
                    EncryptedBlobClient c = client(name, key, "2.0", d);
                    switch (way) {
                        case "stream":
                            c.upload(new ByteArrayInputStream(data), size, true);
                            break;
                        case "flux":
                            c.uploadWithResponse(new BlobParallelUploadOptions(Flux.just(ByteBuffer.wrap(data))), null, Context.NONE);
                            break;
                        case "flux-with-empty":
                            c.uploadWithResponse(new BlobParallelUploadOptions(
                                Flux.just(ByteBuffer.wrap(data), ByteBuffer.allocate(0))), null, Context.NONE);
                            break;
                        case "output":
                            try (OutputStream out = c.getBlobOutputStream(true)) {
                                out.write(data);
                                out.flush();
                            }
                            break;
                        default:
                            java.nio.file.Path p = Files.createTempFile("cse", "");
                            Files.write(p, data);
                            c.uploadFromFile(p.toString(), true);
                            Files.delete(p);
                    }
                    long stored = box().getBlobClient(name).getProperties().getBlobSize();
                    long extra = stored - size - 28L * ((size + d - 1) / d);
                    System.out.println("note\t" + way + " of " + size + " bytes: " + stored + " stored"
                        + (extra == 0 ? "" : extra == 28 ? ", an empty region at the end" : ", " + extra + " bytes too many"));
                } catch (Throwable e) {
                    System.out.println("note\t" + way + " of " + size + " bytes: " + e.getClass().getSimpleName());
                }
            }
        }
    }

    static void bench(String file, String name) throws Exception {
        Key key = keys().get("aes1");
        EncryptedBlobClient c = client(name, key, "2.0", 4 << 20);
        String out = file + ".java-out";
        for (int i = 0; i < 2; i++) { // the second has its code compiled
            long t0 = System.nanoTime();
            c.uploadFromFile(file, true);
            long t1 = System.nanoTime();
            c.downloadToFile(out, true);
            long t2 = System.nanoTime();
            System.out.printf("bench\tjava\tupload %.3f s\tdownload %.3f s%n", (t1 - t0) / 1e9, (t2 - t1) / 1e9);
        }
        Files.delete(Paths.get(out));
    }

    public static void main(String[] args) throws Exception {
        String version = System.getenv().getOrDefault("CSE_VERSION", "2.0");
        switch (args[0]) {
            case "write":
                write(args[1], args[2], Long.parseLong(args[3]));
                break;
            case "read":
                read(args[1], version);
                break;
            case "probe":
                probe(args[1], version);
                break;
            case "empty":
                empty(args[1]);
                break;
            case "bench":
                bench(args[1], args[2]);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        System.exit(0);
    }
}
