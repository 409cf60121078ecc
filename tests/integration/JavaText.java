import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Timestamp;
import java.util.TimeZone;

/** Texts of the JVM, a line each: `F bits`, `D bits` (hexadecimal), `Z zone`, `T seconds` in the zone that came last. */
public class JavaText {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String value = line.substring(2);
            switch (line.charAt(0)) {
                case 'F': out.append(Float.toString(Float.intBitsToFloat(Integer.parseUnsignedInt(value, 16)))); break;
                case 'D': out.append(Double.toString(Double.longBitsToDouble(Long.parseUnsignedLong(value, 16)))); break;
                case 'Z': TimeZone.setDefault(TimeZone.getTimeZone(value)); out.append(TimeZone.getDefault().getID()); break;
                default: out.append(new Timestamp(Long.parseLong(value) * 1000));
            }
            out.append('\n');
        }
        System.out.print(out);
    }
}
